//! Where in the store the past of a pipeline lies.

/// The summary of a run, beside its log.
pub(crate) const SUMMARY: &str = "summary.json";
/// The log of a run, in the store as in the work folder.
pub(crate) const LOG: &str = crate::report::LOG;
/// The open rejects of a run, in the store as in the work folder.
pub(crate) const REJECTS: &str = crate::rejects::FILE;

/// The folder of all pipelines.
pub(crate) const PIPELINES: &str = "pipelines/";

/// The folder of a pipeline's runs.
pub(crate) fn runs(pipeline: &str) -> String {
    format!("{PIPELINES}{pipeline}/runs/")
}

/// What is kept of a run under a name.
pub(crate) fn of_run(pipeline: &str, run: &str, name: &str) -> String {
    format!("{PIPELINES}{pipeline}/runs/{run}/{name}")
}

/// The index of a pipeline.
pub(crate) fn index(pipeline: &str) -> String {
    format!("{PIPELINES}{pipeline}/index.json")
}

/// What a pipeline is doing now.
pub(crate) fn live(pipeline: &str) -> String {
    format!("{PIPELINES}{pipeline}/live.json")
}

/// A version of the state of a pipeline.
pub(crate) fn state(pipeline: &str, version: u64) -> String {
    format!("{PIPELINES}{pipeline}/state/{version:08}.json")
}
