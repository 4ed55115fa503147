//! Each point at which a run may die, as the next run finds the journal.

use super::*;

struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bulkwrite-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn journal(&self) -> String {
        self.0.join("journal").to_str().unwrap().to_owned()
    }

    fn open(&self, state: Option<&str>) -> Journal {
        Journal::open(&self.journal(), state, now()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn now() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// Of a batch that ends here.
fn intent(end: u64, rows: &[u64]) -> Intent<'_> {
    Intent {
        stream: "leads",
        module: "Leads",
        end,
        rows,
        at: now(),
    }
}

#[test]
fn what_was_noted_and_never_answered_is_unresolved() {
    let folder = Folder::new("unanswered");
    let first = folder.open(None);
    let id = first.intend(intent(0, &[1, 2])).unwrap();
    drop(first);
    let second = folder.open(None);
    let left = second.unresolved("leads");
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].id, &left[0].rows, &left[0].job),
        (id, &vec![1, 2], &None)
    );
    assert!(second.unresolved("contacts").is_empty());
    assert!(second.inserted("leads").is_empty());
}

#[test]
fn a_job_that_is_known_is_asked_for_by_the_next_run() {
    let folder = Folder::new("job");
    let first = folder.open(None);
    let id = first.intend(intent(0, &[1, 2])).unwrap();
    first.job(id, "77").unwrap();
    drop(first);
    let second = folder.open(None);
    assert_eq!(second.unresolved("leads")[0].job.as_deref(), Some("77"));
    second.added(id, vec![2]).unwrap();
    drop(second);
    let third = folder.open(None);
    assert!(third.unresolved("leads").is_empty());
    assert_eq!(third.inserted("leads"), HashMap::from([(2, 1)]));
}

#[test]
fn rows_count_until_a_state_that_covers_them_is_stored() {
    let folder = Folder::new("covered");
    let first = folder.open(Some(""));
    for (end, hash) in [(1, 1), (2, 2)] {
        let id = first.intend(intent(end, &[hash])).unwrap();
        first.added(id, vec![hash]).unwrap();
        first.cover(end, &format!("state {end}")).unwrap();
    }
    drop(first);
    // The run died before its second state was stored.
    let second = folder.open(Some("state 1\n"));
    assert_eq!(second.inserted("leads"), HashMap::from([(2, 1)]));
}

#[test]
fn without_a_state_file_only_a_state_that_was_printed_counts() {
    let folder = Folder::new("no-file");
    let first = folder.open(None);
    for (end, hash) in [(1, 1), (2, 2)] {
        let id = first.intend(intent(end, &[hash])).unwrap();
        first.added(id, vec![hash]).unwrap();
    }
    first.cover(1, "s").unwrap();
    first.printed().unwrap();
    // The run dies before the second one is on stdout.
    first.cover(2, "t").unwrap();
    drop(first);
    assert_eq!(folder.open(None).inserted("leads"), HashMap::from([(2, 1)]));
}

#[test]
fn a_state_amid_the_last_batch_covers_none_of_it() {
    let folder = Folder::new("amid");
    let first = folder.open(Some(""));
    for (end, rows) in [(2, [1, 2]), (4, [3, 4])] {
        let id = first.intend(intent(end, &rows)).unwrap();
        first.added(id, rows.to_vec()).unwrap();
    }
    first.cover(3, "s").unwrap();
    drop(first);
    let second = folder.open(Some("s"));
    assert_eq!(second.inserted("leads"), HashMap::from([(3, 1), (4, 1)]));
}

#[test]
fn rows_that_come_again_belong_to_the_new_run() {
    let folder = Folder::new("again");
    let first = folder.open(Some(""));
    let id = first.intend(intent(0, &[1, 1, 2])).unwrap();
    first.added(id, vec![1, 1, 2]).unwrap();
    drop(first);
    let second = folder.open(Some(""));
    second.recognize(intent(1, &[1])).unwrap();
    assert_eq!(second.inserted("leads"), HashMap::from([(1, 1), (2, 1)]));
    second.cover(1, "s").unwrap();
    drop(second);
    // If the state was stored, two rows are left; if it was not, all three are.
    let text = fs::read_to_string(folder.journal()).unwrap();
    assert_eq!(
        folder.open(Some("")).inserted("leads"),
        HashMap::from([(1, 2), (2, 1)])
    );
    fs::write(folder.journal(), text).unwrap();
    assert_eq!(
        folder.open(Some("s")).inserted("leads"),
        HashMap::from([(1, 1), (2, 1)])
    );
}

#[test]
fn an_insert_that_did_not_happen_leaves_nothing() {
    let folder = Folder::new("gone");
    let first = folder.open(None);
    let refused = first.intend(intent(0, &[1])).unwrap();
    first.gone(refused).unwrap();
    let skipped = first.intend(intent(1, &[2])).unwrap();
    first.added(skipped, Vec::new()).unwrap();
    drop(first);
    assert_eq!(folder.open(None).unresolved("leads"), []);
    assert_eq!(fs::read_to_string(folder.journal()).unwrap(), "");
}

#[test]
fn a_line_that_was_cut_off_was_never_acted_on_and_a_damaged_one_stops_the_run() {
    let folder = Folder::new("cut");
    let first = folder.open(None);
    first.intend(intent(0, &[1])).unwrap();
    drop(first);
    let text = fs::read_to_string(folder.journal()).unwrap();
    fs::write(folder.journal(), format!("{text}{{\"intent\":{{\"id\":2,")).unwrap();
    assert_eq!(folder.open(None).unresolved("leads").len(), 1);
    fs::write(folder.journal(), "{\"intent\":1}\n").unwrap();
    let error = Journal::open(&folder.journal(), None, now()).unwrap_err();
    assert!(error.message().contains("damaged at line 1"), "{error}");
}

#[test]
fn after_a_line_that_could_not_be_written_there_is_none() {
    let folder = Folder::new("full");
    let journal = folder.open(None);
    let id = journal.intend(intent(1, &[1])).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let good = journal.inner().file.replace(full);
    assert!(journal.job(id, "7").is_err());
    assert!(journal.inner().file.is_none());
    let error = journal.intend(intent(2, &[2])).unwrap_err();
    assert!(error.message().contains("cannot write the journal"));
    drop((journal, good));
    let left = folder.open(None).unresolved("leads");
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0].rows[..], &left[0].job), (&[1][..], &None));
}

#[test]
fn a_journal_has_one_run_at_a_time() {
    let folder = Folder::new("locked");
    let first = folder.open(None);
    let error = Journal::open(&folder.journal(), None, now()).unwrap_err();
    assert!(error.message().contains("another run"), "{error}");
    drop(first);
    folder.open(None);
}

#[test]
fn rows_that_nobody_sends_again_are_forgotten_when_their_result_is() {
    let folder = Folder::new("old");
    let first = folder.open(None);
    let id = first.intend(intent(0, &[1])).unwrap();
    first.added(id, vec![1]).unwrap();
    first.intend(intent(0, &[2])).unwrap();
    drop(first);
    let later = now() + TimeDelta::days(8);
    let second = Journal::open(&folder.journal(), None, later).unwrap();
    assert!(second.inserted("leads").is_empty());
    assert_eq!(second.unresolved("leads").len(), 1);
}
