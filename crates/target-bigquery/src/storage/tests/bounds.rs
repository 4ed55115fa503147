//! Tokens, columns that are new, attempts, connections that are kept: what is borne, and for how long.

use super::*;

/// Numbered tokens; the number rises when one is refused.
#[derive(Default)]
struct Numbered {
    number: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

impl TokenSource for Numbered {
    fn token(&self) -> BoxFuture<'_, Result<Option<Secret>>> {
        let token = format!("token-{}", self.number.load(Ordering::SeqCst));
        Box::pin(async move { Ok(Some(Secret::new(token))) })
    }

    fn refused<'a>(&'a self, used: &'a Secret) -> BoxFuture<'a, ()> {
        self.refused.lock().unwrap().push(used.expose().to_owned());
        self.number.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    for fault in [
        Fault::Answer(Code::Unauthenticated, 0),
        Fault::End(Code::Unauthenticated, 0),
    ] {
        let fake = Fake::start().await;
        fake.state().appends.insert(0, fault.clone());
        let tokens = Arc::new(Numbered::default());
        let source: Arc<dyn TokenSource> = Arc::<Numbered>::clone(&tokens);
        let storage = Storage::connect(options(&fake), source).unwrap();
        append(&storage, Way::Default, &rows(&ten())).await.unwrap();
        assert_eq!(*tokens.refused.lock().unwrap(), ["token-0"]);
        let bearer = |one: &(String, Option<String>)| one.1.clone().unwrap();
        let sent: Vec<String> = fake.state().metadata.iter().map(bearer).collect();
        assert_eq!(sent, ["Bearer token-0", "Bearer token-1"]);

        let fake = Fake::start().await;
        fake.state()
            .appends
            .extend((0..9).map(|number| (number, fault.clone())));
        let storage = Storage::connect(options(&fake), Arc::new(Numbered::default())).unwrap();
        let error = append(&storage, Way::Default, &rows(&["a"]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Auth);
        assert_eq!(fake.state().calls, 2);
    }
    let fake = Fake::start().await;
    let fault = Fault::End(Code::Unauthenticated, 0);
    fake.state()
        .unary
        .insert("CreateWriteStream", [fault].into());
    let storage = Storage::connect(options(&fake), Arc::new(Numbered::default())).unwrap();
    append(&storage, Way::Pending, &rows(&["a"])).await.unwrap();
}

#[tokio::test]
async fn no_token_goes_to_another_machine_in_the_clear() {
    let storage = Storage::connect(
        Options {
            endpoint: "http://192.0.2.1:9".into(),
            ..Options::default()
        },
        Arc::new(Numbered::default()),
    )
    .unwrap();
    let error = append(&storage, Way::Default, &rows(&["a"]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
}

#[tokio::test]
async fn a_new_column_is_waited_for_within_bounds() {
    let column = Fault::Answer(Code::InvalidArgument, 7);
    let fake = Fake::start().await;
    // More often than there are attempts: only its own patience counts.
    fake.state()
        .appends
        .extend((0..9).map(|number| (number, column.clone())));
    let patient = storage(Options {
        in_flight_bytes: 1,
        attempts: 1,
        ..options(&fake)
    });
    append(&patient, Way::Default, &rows(&ten())).await.unwrap();
    assert_eq!(texts(&fake.state().visible), ten());

    let fake = Fake::start().await;
    fake.state()
        .appends
        .extend((0..99).map(|number| (number, column.clone())));
    let hasty = storage(Options {
        new_column_patience: Duration::from_millis(10),
        ..options(&fake)
    });
    let error = append(&hasty, Way::Default, &rows(&["a"]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    let failure = failure_of(&error).unwrap();
    assert_eq!(failure.storage_code(), Some(StorageCode::ExtraFields));
}

#[tokio::test]
async fn what_does_not_pass_becomes_the_error_of_its_kind() {
    for (code, storage_code, kind, calls, text) in [
        (Code::Unavailable, 0, Kind::Transient, 4, "`p.d.t`"),
        (Code::ResourceExhausted, 0, Kind::RateLimited, 4, "`p.d.t`"),
        (Code::NotFound, 1, Kind::Rejected, 4, "no such table"),
        (
            Code::PermissionDenied,
            0,
            Kind::Rejected,
            1,
            "`bigquery.tables.updateData`",
        ),
        (Code::InvalidArgument, 0, Kind::Rejected, 1, "`p.d.t`"),
    ] {
        for fault in [
            Fault::Answer(code, storage_code),
            Fault::End(code, storage_code),
        ] {
            let fake = Fake::start().await;
            fake.state()
                .appends
                .extend((0..9).map(|number| (number, fault.clone())));
            let storage = storage(options(&fake));
            let error = append(&storage, Way::Default, &rows(&["a"]))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert_eq!(code_of(&error), Some(code));
            assert!(error.message().contains(text), "{error}");
            assert_eq!(fake.state().calls, calls);
        }
    }
}

#[tokio::test]
async fn attempts_count_since_the_last_progress() {
    let fake = Fake::start().await;
    // One request at a time; each is failed twice before it gets through.
    fake.state().appends.extend(
        (0..30)
            .filter(|number| number % 3 != 2)
            .map(|number| (number, Fault::End(Code::Unavailable, 0))),
    );
    let storage = storage(Options {
        attempts: 3,
        in_flight_bytes: 1,
        ..options(&fake)
    });
    append(&storage, Way::Default, &rows(&ten())).await.unwrap();
    assert_eq!(texts(&fake.state().visible), ten());
}

#[tokio::test]
async fn nobody_there_is_a_transient_error() {
    let fake = Fake::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let storage = storage(Options {
        endpoint,
        attempts: 2,
        ..options(&fake)
    });
    for way in ALL {
        let error = append(&storage, way, &rows(&["a"])).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Transient);
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_batch_of_the_same_shape() {
    let fake = Fake::start().await;
    let storage = storage(options(&fake));
    append(&storage, Way::Default, &rows(&["a"])).await.unwrap();
    append(&storage, Way::Default, &rows(&["b"])).await.unwrap();
    assert_eq!(fake.state().calls, 1);
    let other = Bytes::from_static(b"\x0a\x01s");
    storage
        .append_default(&table(), &other, &rows(&["c"]))
        .await
        .unwrap();
    assert_eq!(fake.state().calls, 2);
    assert!(fake.state().seen[2].described);
    assert_eq!(texts(&fake.state().visible), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_attempt() {
    for fault in [
        None,
        Some(Fault::BreakBefore),
        Some(Fault::End(Code::Aborted, 0)),
    ] {
        let fake = Fake::start().await;
        let storage = storage(Options {
            attempts: 1,
            ..options(&fake)
        });
        append(&storage, Way::Default, &rows(&["a"])).await.unwrap();
        match fault {
            Some(fault) => drop(fake.state().appends.insert(1, fault)),
            None => {
                fake.cut();
                fake.over.notified().await;
            }
        }
        append(&storage, Way::Default, &rows(&["b"])).await.unwrap();
        assert_eq!(texts(&fake.state().visible), ["a", "b"]);
        assert_eq!(fake.state().calls, 2);
    }
}

#[tokio::test]
async fn no_answer_in_time_is_a_broken_connection() {
    for way in ALL {
        let fake = Fake::start().await;
        fake.state().appends.insert(1, Fault::Hang);
        let storage = storage(Options {
            request_timeout: Duration::from_millis(150),
            ..options(&fake)
        });
        append(&storage, way, &rows(&ten())).await.unwrap();
        let mut seen = texts(&fake.state().visible);
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ten());
    }
}

#[tokio::test]
async fn a_dropped_append_ends_its_call() {
    let fake = Fake::start().await;
    fake.state().appends.insert(0, Fault::Hang);
    let storage = storage(Options {
        in_flight_bytes: 1,
        ..options(&fake)
    });
    let all = rows(&ten());
    tokio::select! {
        _ = append(&storage, Way::Default, &all) => panic!("there was no answer"),
        () = async {
            while fake.state().seen.is_empty() {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    fake.over.notified().await;
    assert_eq!(fake.state().seen.len(), 1);
}

#[tokio::test]
async fn ends_that_do_not_fit_are_an_error() {
    let fake = Fake::start().await;
    let storage = storage(options(&fake));
    for ends in [vec![1], vec![3, 2], vec![4]] {
        let rows = Rows {
            data: Bytes::from_static(b"ab"),
            ends,
        };
        let error = append(&storage, Way::Default, &rows).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
    }
}

#[tokio::test]
async fn a_ca_file_that_is_not_there_is_named() {
    let wrong = Options {
        ca_file: Some("no-such-file.pem".into()),
        ..Options::default()
    };
    let error = Storage::connect(wrong, Arc::new(Anonymous)).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().contains("no-such-file.pem"));
}
