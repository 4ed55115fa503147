//! Tokens shared by several processes: each account here has nothing in common with the others but the file.

use super::*;

fn sharing(server: &Server, around: &Arc<Around>, path: &str) -> Account {
    let mut config = config(server);
    config.token_cache_path = Some(path.to_owned());
    account_with(&config, around)
}

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn two_that_start_together_make_one_refresh() {
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    let accounts: Vec<Account> = (0..8).map(|_| sharing(&server, &around, &path)).collect();
    let tasks: Vec<_> = (accounts.into_iter())
        .map(|account| tokio::spawn(async move { text(&account).await }))
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "token-0-hunter2");
    }
    assert_eq!(server.count(), 1);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&format!("{path}.lock")), 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    for part in ["token-0-hunter2", "https://www.zohoapis.eu", "refreshes"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("refresh&hunter2") && !text.contains("CLIENT"));
}

#[tokio::test]
async fn the_file_lies_in_the_cache_folder_of_the_user() {
    let folder = Folder::new();
    let home = folder.path().to_str().unwrap();
    let server = server_of_tokens().await;
    let mut config = config(&server);
    config.token_cache_path = None;
    let cache = format!("{home}/xdg");
    for (variables, place) in [
        (vec![("HOME", home)], ".cache/antiphon"),
        (
            vec![("HOME", home), ("XDG_CACHE_HOME", "relative")],
            ".cache/antiphon",
        ),
        (
            vec![("HOME", home), ("XDG_CACHE_HOME", &cache)],
            "xdg/antiphon",
        ),
    ] {
        text(&account_with(&config, &Around::new(&variables))).await;
        let names: Vec<String> = std::fs::read_dir(folder.path().join(place))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("zoho-") && name.ends_with(".json"))
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert!(!names[0].contains("hunter2"));
    }
    // The second found the file of the first.
    assert_eq!(server.count(), 2);
    // Without a home each has its own token.
    text(&account_with(&config, &Around::new(&[]))).await;
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_file_that_others_can_read_is_ignored_and_made_anew() {
    let log = Log::keep();
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    text(&sharing(&server, &around, &path)).await;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        text(&sharing(&server, &around, &path)).await,
        "token-1-hunter2"
    );
    assert!(log.text().contains("not 0600"), "{}", log.text());
    assert_eq!(mode(&path), 0o600);
    assert_eq!(
        text(&sharing(&server, &around, &path)).await,
        "token-1-hunter2"
    );
}

#[tokio::test]
async fn a_broken_file_is_ignored_and_made_anew() {
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    text(&sharing(&server, &around, &path)).await;
    let whole = std::fs::read(&path).unwrap();
    let broken: [&[u8]; 4] = [b"", &whole[..whole.len() / 2], b"[1]", b"\xff\xfe"];
    for (number, bytes) in broken.into_iter().enumerate() {
        std::fs::write(&path, bytes).unwrap();
        std::fs::write(format!("{path}.next"), "left behind").unwrap();
        let wanted = format!("token-{}-hunter2", number + 1);
        assert_eq!(text(&sharing(&server, &around, &path)).await, wanted);
        assert_eq!(text(&sharing(&server, &around, &path)).await, wanted);
    }
}

#[tokio::test]
async fn the_file_of_another_client_or_a_wrong_clock_is_not_taken() {
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    text(&sharing(&server, &around, &path)).await;
    let mut config = config(&server);
    config.token_cache_path = Some(path.clone());
    config.refresh_token = SecretSource::Text(Secret::new("another"));
    assert_eq!(
        text(&account_with(&config, &around)).await,
        "token-1-hunter2"
    );
    // Two days earlier by its own clock, the token would be good for days.
    around.pass(-2 * 86_400);
    assert_eq!(
        text(&account_with(&config, &around)).await,
        "token-2-hunter2"
    );
}

#[tokio::test]
async fn programs_with_refresh_tokens_of_their_own_may_share_a_file() {
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    let account = |refresh: &str| {
        let mut config = config(&server);
        config.token_cache_path = Some(path.clone());
        config.refresh_token = SecretSource::Text(Secret::new(refresh));
        account_with(&config, &around)
    };
    for _ in 0..3 {
        assert_eq!(text(&account("tap")).await, "token-0-hunter2");
        assert_eq!(text(&account("target")).await, "token-1-hunter2");
    }
    // Those of old programs are forgotten at last.
    for number in 0..20 {
        around.pass(1);
        text(&account(&format!("old-{number}"))).await;
    }
    let file = std::fs::read_to_string(&path).unwrap();
    assert_eq!(file.matches("\"key\"").count(), 16);
    assert!(!file.contains("token-0-") && file.contains("token-21-"));
}

#[tokio::test]
async fn what_one_was_told_the_others_do_not_ask() {
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = Server::start(|_, _| throttled(400)).await;
    for _ in 0..3 {
        let error = sharing(&server, &around, &path).token().await.unwrap_err();
        assert_eq!(error.kind(), Kind::RateLimited);
        assert!(error.message().contains("12:10:00Z"), "{error:?}");
    }
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn the_tokens_of_all_are_counted() {
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    let mut token = sharing(&server, &around, &path).token().await.unwrap();
    for _ in 1..10 {
        around.pass(2);
        token = sharing(&server, &around, &path)
            .renew(&token)
            .await
            .unwrap();
    }
    let error = sharing(&server, &around, &path)
        .renew(&token)
        .await
        .unwrap_err();
    assert_eq!((error.kind(), server.count()), (Kind::RateLimited, 10));
}

#[tokio::test]
async fn a_refused_token_is_replaced_by_the_newer_one_of_the_file() {
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    let (one, other) = (
        sharing(&server, &around, &path),
        sharing(&server, &around, &path),
    );
    let old = one.token().await.unwrap();
    assert_eq!(other.token().await.unwrap(), old);
    around.pass(1);
    let new = one.renew(&old).await.unwrap();
    assert_eq!(other.renew(&old).await.unwrap(), new);
    assert_eq!(server.count(), 2);
    // Both were refused, so neither comes back from the file.
    assert_eq!(other.renew(&new).await.unwrap().expose(), "token-2-hunter2");
}

#[tokio::test]
async fn a_lock_that_nobody_lets_go_of_does_not_hang_the_run() {
    let log = Log::keep();
    let (folder, around) = (Folder::new(), Around::new(&[]));
    let path = folder.file("cache.json");
    let server = server_of_tokens().await;
    let holder = std::fs::File::create(format!("{path}.lock")).unwrap();
    holder.lock().unwrap();
    assert_eq!(
        text(&sharing(&server, &around, &path)).await,
        "token-0-hunter2"
    );
    assert!(log.text().contains("going on without"), "{}", log.text());
    assert!(std::fs::metadata(&path).is_err());
    // Its end, also a violent one, frees it.
    drop(holder);
    text(&sharing(&server, &around, &path)).await;
    assert!(std::fs::metadata(&path).is_ok());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_a_warning() {
    let log = Log::keep();
    let (folder, around) = (Folder::new(), Around::new(&[]));
    std::fs::write(folder.path().join("file"), "").unwrap();
    let server = server_of_tokens().await;
    let account = sharing(&server, &around, &folder.file("file/cache.json"));
    assert_eq!(text(&account).await, "token-0-hunter2");
    assert!(log.text().contains("going on without"), "{}", log.text());
}
