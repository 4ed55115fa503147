//! Leases over a folder.

use std::fs;

use singer_test::folder::Folder;

use super::*;
use crate::spec::StoreSpec;

async fn desk(folder: &Folder) -> Desk {
    let spec = StoreSpec {
        url: folder.path().join("store").display().to_string(),
        work: folder.path().join("work"),
        lease: Duration::from_secs(60),
        endpoint: None,
        region: None,
        profile: None,
        credentials: None,
        ca_file: None,
    };
    Desk {
        store: Store::open(&spec).await.unwrap(),
        clock: Clock::system(),
        place: Place::here(),
        pipeline: "p".to_owned(),
        lease: spec.lease,
        grace: Duration::from_millis(100),
    }
}

fn lease(taken: Taken) -> Lease {
    match taken {
        Taken::Lease(lease) => lease,
        Taken::Held(holder) => panic!("held by {holder:?}"),
    }
}

/// The processes that a test needs and this machine does not have.
fn elsewhere(desk: &Desk) -> Desk {
    Desk {
        place: Place::simulated("elsewhere", "elsewhere", super::model::Judge::nobody()),
        ..desk.clone()
    }
}

async fn version_count(desk: &Desk) -> usize {
    desk.store.list("pipelines/p/state/").await.unwrap().len()
}

#[tokio::test]
async fn a_lease_that_is_held_is_not_taken_and_one_that_was_released_is() {
    let folder = Folder::new();
    let desk = desk(&folder).await;
    let first = lease(desk.take("one").await.unwrap());
    assert_eq!(first.fence(), 1);
    assert_eq!(desk.holder().await.unwrap().unwrap().run, "one");
    assert!(matches!(desk.take("two").await.unwrap(), Taken::Held(holder) if holder.run == "one"));
    first.release().await.unwrap();
    assert!(desk.holder().await.unwrap().is_none());
    let second = lease(desk.take("two").await.unwrap());
    assert_eq!(second.fence(), 2);
    assert!(second.took_over().is_none());
    // Nobody died, so nothing had to be fenced off.
    assert_eq!(version_count(&desk).await, 0);
}

#[tokio::test]
async fn a_lease_that_was_dropped_is_taken_over_at_once_and_fenced_off() {
    let folder = Folder::new();
    let desk = desk(&folder).await;
    drop(lease(desk.take("one").await.unwrap()));
    let second = lease(desk.take("two").await.unwrap());
    assert_eq!(second.took_over().unwrap().run, "one");
    let states = States::over(&desk.store, &desk.clock, "p", 0)
        .await
        .unwrap();
    let newest = states.newest().await.unwrap().unwrap();
    assert_eq!((newest.version, newest.fence), (1, 2));
    assert_eq!(newest.state.get(), "null");
    assert_eq!(newest.run.as_deref(), Some("two"));
}

#[tokio::test]
async fn an_old_holder_that_wakes_is_fenced() {
    let folder = Folder::new();
    let desk = desk(&folder).await;
    let first = lease(desk.take("one").await.unwrap());
    let mut states = States::over(&desk.store, &desk.clock, "p", first.fence())
        .await
        .unwrap();
    assert_eq!(
        states.append("{\"a\":1}", "one", "t").await.unwrap(),
        Stored::Version(1)
    );
    // As if the process had stopped for a long time.
    held().remove("one");
    let second = lease(desk.take("two").await.unwrap());
    assert_eq!(
        states.append("{\"a\":2}", "one", "t").await.unwrap(),
        Stored::Fenced
    );
    assert_eq!(
        states.append("{\"a\":1}", "one", "t").await.unwrap(),
        Stored::Fenced
    );
    let mut states = States::over(&desk.store, &desk.clock, "p", second.fence())
        .await
        .unwrap();
    assert_eq!(
        states.newest().await.unwrap().unwrap().state.get(),
        "{\"a\":1}"
    );
    assert_eq!(
        states.append("{\"a\":3}", "two", "t").await.unwrap(),
        Stored::Version(3)
    );
}

#[tokio::test]
async fn numbers_go_on_above_the_newest_state_when_leases_were_lost() {
    let folder = Folder::new();
    let desk = desk(&folder).await;
    for run in ["one", "two", "three"] {
        lease(desk.take(run).await.unwrap())
            .release()
            .await
            .unwrap();
    }
    let fourth = lease(desk.take("four").await.unwrap());
    let mut states = States::over(&desk.store, &desk.clock, "p", fourth.fence())
        .await
        .unwrap();
    states.append("{}", "four", "t").await.unwrap();
    fourth.release().await.unwrap();
    fs::remove_dir_all(folder.path().join("store/pipelines/p/lock")).unwrap();
    assert_eq!(lease(desk.take("five").await.unwrap()).fence(), 5);
}

#[tokio::test]
async fn a_holder_elsewhere_is_waited_for_as_long_as_its_lease() {
    let folder = Folder::new();
    let desk = desk(&folder).await;
    let far = elsewhere(&desk);
    let first = lease(far.take("one").await.unwrap());
    drop(first);
    assert!(matches!(desk.take("two").await.unwrap(), Taken::Held(_)));
    age(&folder, "00000001.json", 63);
    let second = lease(desk.take("two").await.unwrap());
    assert_eq!(second.took_over().unwrap().host, "elsewhere");
}

/// Sets the time of a lease back.
fn age(folder: &Folder, name: &str, seconds: i64) {
    let file = folder.path().join("store/pipelines/p/lock").join(name);
    let now = fs::metadata(folder.write("now", ""))
        .unwrap()
        .modified()
        .unwrap();
    let moved = if seconds >= 0 {
        now - Duration::from_secs(seconds.unsigned_abs())
    } else {
        now + Duration::from_secs(seconds.unsigned_abs())
    };
    fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_modified(moved)
        .unwrap();
}

#[tokio::test]
async fn a_lease_from_the_future_is_over_in_its_time_though_the_clock_went_back() {
    let folder = Folder::new();
    let desk = desk(&folder).await;
    drop(lease(elsewhere(&desk).take("one").await.unwrap()));
    age(&folder, "00000001.json", -86_400);
    assert!(matches!(desk.take("two").await.unwrap(), Taken::Held(_)));
    assert!(matches!(desk.take("two").await.unwrap(), Taken::Held(_)));
    age(&folder, "seen-00000001", 63);
    assert_eq!(lease(desk.take("two").await.unwrap()).fence(), 2);
}

#[tokio::test]
async fn a_lease_that_was_cut_by_a_crash_is_over_in_its_time() {
    let folder = Folder::new();
    let desk = desk(&folder).await;
    desk.store
        .put(&desk.key(7), "{\"fence\": 7, \"hol".into())
        .await
        .unwrap();
    assert!(
        matches!(desk.take("two").await.unwrap(), Taken::Held(holder) if holder.run == "unknown")
    );
    age(&folder, "00000007.json", 63);
    assert_eq!(lease(desk.take("two").await.unwrap()).fence(), 8);
}

#[tokio::test]
async fn the_stages_of_a_dead_runner_are_ended_before_the_next_begins() {
    use std::os::unix::process::CommandExt;
    let folder = Folder::new();
    let desk = desk(&folder).await;
    let mut stage = std::process::Command::new("sleep")
        .arg("600")
        .process_group(0)
        .spawn()
        .unwrap();
    let first = lease(desk.take("one").await.unwrap());
    let group = Group {
        leader: stage.id(),
        process: process_identity(stage.id()).unwrap(),
    };
    first.note_group(Some(group)).await.unwrap();
    drop(first);
    let _second = lease(desk.take("two").await.unwrap());
    assert!(process_identity(stage.id()).is_none());
    stage.wait().unwrap();
}

#[tokio::test]
async fn a_lease_is_lost_when_somebody_takes_a_larger_number() {
    let folder = Folder::new();
    let desk = Desk {
        lease: Duration::from_millis(300),
        ..desk(&folder).await
    };
    let first = lease(desk.take("one").await.unwrap());
    let entry = desk.entry(first.fence() + 1, "two");
    desk.store
        .put(&desk.key(entry.fence), entry.bytes().unwrap())
        .await
        .unwrap();
    first.lost().await;
    first.lost().await;
    first.release().await.unwrap();
    let there = desk.store.get(&desk.key(1)).await.unwrap().unwrap();
    assert!(
        !serde_json::from_slice::<Entry>(&there.bytes)
            .unwrap()
            .released
    );
}

#[tokio::test]
async fn a_lease_is_lost_when_it_cannot_be_renewed() {
    let folder = Folder::new();
    let desk = Desk {
        lease: Duration::from_millis(300),
        ..desk(&folder).await
    };
    let first = lease(desk.take("one").await.unwrap());
    let lock = folder.path().join("store/pipelines/p/lock");
    fs::remove_dir_all(&lock).unwrap();
    fs::write(&lock, "").unwrap();
    first.lost().await;
}

#[tokio::test]
async fn a_lease_is_renewed_and_old_ones_are_removed() {
    let folder = Folder::new();
    let desk = Desk {
        // On a busy machine a shorter one is lost before it can be renewed, and then nobody renews it.
        lease: Duration::from_secs(3),
        ..desk(&folder).await
    };
    lease(desk.take("one").await.unwrap())
        .release()
        .await
        .unwrap();
    let second = lease(desk.take("two").await.unwrap());
    let entry = async || {
        let there = desk.store.get(&desk.key(2)).await.unwrap().unwrap();
        serde_json::from_slice::<Entry>(&there.bytes).unwrap()
    };
    while entry().await.renewal < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!desk.store.has(&desk.key(1)).await.unwrap());
    second.release().await.unwrap();
    assert!(entry().await.released);
}
