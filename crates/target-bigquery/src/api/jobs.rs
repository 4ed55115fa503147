//! Jobs: submitted with an id of our own, read back by it.

use serde_json::{Value, json};
use singer_core::Error;
use singer_net::{Bytes, Request};

use super::resources::{bytes, number};
use super::{Api, Fault, Refused};

/// A job as BigQuery describes it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Where it runs.
    pub location: Option<String>,
    /// Whether it has ended, well or not.
    pub is_done: bool,
    /// Why it failed, if it did.
    pub failure: Option<Refused>,
    /// What it has to say about single rows.
    pub faults: Vec<JobFault>,
    statistics: Value,
}

/// One thing that a job has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFault {
    /// The reason, such as `invalid`.
    pub reason: String,
    /// The column, or where in the file.
    pub location: String,
    /// BigQuery's words, raw: they may hold values, and are for parsing alone.
    pub raw: String,
    /// BigQuery's words without values.
    pub message: String,
}

/// What is submitted under an id.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The `configuration` of the job.
    pub configuration: Value,
    /// The file of a load job.
    pub data: Option<Bytes>,
}

impl Job {
    pub(super) fn of(json: &Value) -> Result<Self, Fault> {
        let text = |place: &str| {
            json.pointer(place)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let wrong = || Error::protocol("the description of a job has an unknown shape");
        let id = text("/jobReference/jobId")
            .or_else(|| text("/id"))
            .ok_or_else(wrong)?;
        let errors = json.pointer("/status/errors").and_then(Value::as_array);
        Ok(Self {
            id,
            location: text("/jobReference/location"),
            is_done: text("/status/state").as_deref() == Some("DONE"),
            failure: json.pointer("/status/errorResult").map(Refused::of_job),
            faults: errors.into_iter().flatten().map(JobFault::of).collect(),
            statistics: json.get("statistics").cloned().unwrap_or_default(),
        })
    }

    fn number(&self, place: &str) -> Option<u64> {
        number(self.statistics.pointer(place))
    }

    /// Rows that a load job wrote.
    pub fn output_rows(&self) -> Option<u64> {
        self.number("/load/outputRows")
    }

    /// Rows that a statement inserted, updated and deleted, in all.
    pub fn affected_rows(&self) -> Option<u64> {
        self.number("/query/numDmlAffectedRows")
    }

    /// Bytes that a statement read.
    pub fn bytes_processed(&self) -> u64 {
        self.number("/query/totalBytesProcessed")
            .or_else(|| self.number("/totalBytesProcessed"))
            .unwrap_or_default()
    }

    /// Bytes that a statement is charged for.
    pub fn bytes_billed(&self) -> u64 {
        self.number("/query/totalBytesBilled").unwrap_or_default()
    }

    /// Milliseconds of slots that it took.
    pub fn slot_milliseconds(&self) -> u64 {
        self.number("/totalSlotMs")
            .or_else(|| self.number("/query/totalSlotMs"))
            .unwrap_or_default()
    }
}

impl JobFault {
    fn of(proto: &Value) -> Self {
        let text = |key: &str| {
            let text = proto.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        Self {
            reason: text("reason"),
            location: text("location"),
            raw: text("message"),
            message: Refused::of_job(proto).message,
        }
    }
}

impl Api {
    /// Submits a job under an id. Reason `duplicate` says that the id is known already.
    pub async fn submit(
        &self,
        id: &str,
        location: Option<&str>,
        submission: &Submission,
    ) -> Result<Job, Fault> {
        let what = format!("cannot submit the job `{id}`");
        let mut reference = json!({"projectId": self.project(), "jobId": id});
        if let Some(location) = location {
            reference["location"] = json!(location);
        }
        let body = json!({"jobReference": reference, "configuration": submission.configuration});
        match &submission.data {
            Some(data) => self.upload(&what, &body, data).await,
            None => {
                let url = self.url(&["jobs"])?;
                let request = Request::post_json(url, bytes(&body));
                let json = self.json(&what, request).await?;
                Job::of(&json)
            }
        }
    }

    /// `jobs.get`; `None` if there is none of this id.
    pub async fn job(&self, id: &str, location: Option<&str>) -> Result<Option<Job>, Fault> {
        let what = format!("cannot read the job `{id}`");
        let mut url = self.url(&["jobs", id])?;
        if let Some(location) = location {
            url.query_pairs_mut().append_pair("location", location);
        }
        match self.json(&what, Request::get(url)).await {
            Ok(json) => Job::of(&json).map(Some),
            Err(fault) if fault.is("notFound") => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// `jobs.cancel`; it may end well all the same.
    pub async fn cancel_job(&self, id: &str, location: Option<&str>) -> Result<(), Fault> {
        let what = format!("cannot cancel the job `{id}`");
        let mut url = self.url(&["jobs", id, "cancel"])?;
        if let Some(location) = location {
            url.query_pairs_mut().append_pair("location", location);
        }
        let request = Request::post_json(url, Bytes::from_static(b"{}"));
        self.json(&what, request).await.map(|_| ())
    }

    /// Has BigQuery plan a statement without running it: the bytes that it would read.
    pub async fn dry_run(&self, query: &str, location: Option<&str>) -> Result<u64, Fault> {
        let what = "cannot plan a statement";
        let mut body = json!({
            "jobReference": {"projectId": self.project()},
            "configuration": {"dryRun": true, "query": {"query": query, "useLegacySql": false}},
        });
        if let Some(location) = location {
            body["jobReference"]["location"] = json!(location);
        }
        let url = self.url(&["jobs"])?;
        let json = self
            .json(what, Request::post_json(url, bytes(&body)))
            .await?;
        // A dry run is no job, and has no id.
        if let Some(failure) = json.pointer("/status/errorResult") {
            return Err(Fault::Refused(Refused::of_job(failure)));
        }
        let place = [
            "/statistics/query/totalBytesProcessed",
            "/statistics/totalBytesProcessed",
        ];
        Ok(place
            .iter()
            .find_map(|place| number(json.pointer(place)))
            .unwrap_or_default())
    }

    /// How many jobs since `since_milliseconds` wrote to each table, of the newest thousands of jobs: what
    /// counts towards the limit of jobs per table and day.
    pub async fn jobs_by_table(
        &self,
        since_milliseconds: i64,
    ) -> Result<Vec<(String, u64)>, Fault> {
        const PAGES: usize = 5;
        let mut counts: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        let mut page: Option<String> = None;
        for _ in 0..PAGES {
            let mut url = self.url(&["jobs"])?;
            url.query_pairs_mut()
                .append_pair("projection", "full")
                .append_pair("maxResults", "1000")
                .append_pair("minCreationTime", &since_milliseconds.to_string());
            if let Some(page) = &page {
                url.query_pairs_mut().append_pair("pageToken", page);
            }
            let json = self
                .json("cannot list the jobs of today", Request::get(url))
                .await?;
            let jobs = json.get("jobs").and_then(Value::as_array);
            for job in jobs.into_iter().flatten() {
                if let Some(table) = written_table(job) {
                    *counts.entry(table).or_default() += 1;
                }
            }
            page = json
                .get("nextPageToken")
                .and_then(Value::as_str)
                .map(str::to_owned);
            if page.is_none() {
                break;
            }
        }
        Ok(counts.into_iter().collect())
    }
}

/// The table that a job of the list writes to, if the job counts for it: statements on rows do not.
fn written_table(job: &Value) -> Option<String> {
    let table = ["load", "copy"]
        .iter()
        .find_map(|kind| job.pointer(&format!("/configuration/{kind}/destinationTable")))?;
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    Some(format!("{}.{}", text("datasetId")?, text("tableId")?))
}
