//! The variables that programs for Google Cloud share.

use std::path::PathBuf;

use singer_runtime::context::Context;

/// What the environment says about credentials.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `GOOGLE_APPLICATION_CREDENTIALS`: a file of credentials.
    pub google_application_credentials: Option<String>,
    /// `CLOUDSDK_CONFIG`: the folder of `gcloud`, if it is not the usual one.
    pub cloudsdk_config: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `APPDATA`, on Windows.
    pub appdata: Option<PathBuf>,
    /// `GCE_METADATA_HOST`: where the metadata server is.
    pub gce_metadata_host: Option<String>,
    /// `NO_GCE_CHECK`: no metadata server is looked for.
    pub no_gce_check: bool,
    /// Whether Kubernetes or Cloud Run set the variables that they set in every container.
    pub is_at_google: bool,
    /// `GOOGLE_CLOUD_PROJECT`: the project to work in.
    pub google_cloud_project: Option<String>,
    /// `GOOGLE_CLOUD_QUOTA_PROJECT`: the project that requests are counted against.
    pub google_cloud_quota_project: Option<String>,
}

impl Environment {
    /// Reads the variables.
    pub fn read(context: &Context) -> Self {
        let path = |name| context.variable(name).map(PathBuf::from);
        Self {
            google_application_credentials: context.variable("GOOGLE_APPLICATION_CREDENTIALS"),
            cloudsdk_config: path("CLOUDSDK_CONFIG"),
            home: path("HOME"),
            appdata: path("APPDATA"),
            gce_metadata_host: context.variable("GCE_METADATA_HOST"),
            no_gce_check: context
                .variable("NO_GCE_CHECK")
                .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1"),
            is_at_google: ["KUBERNETES_SERVICE_HOST", "K_SERVICE", "CLOUD_RUN_JOB"]
                .iter()
                .any(|name| context.variable(name).is_some()),
            google_cloud_project: context.variable("GOOGLE_CLOUD_PROJECT"),
            google_cloud_quota_project: context.variable("GOOGLE_CLOUD_QUOTA_PROJECT"),
        }
    }

    /// The file in which `gcloud auth application-default login` leaves its credentials.
    pub(super) fn well_known_file(&self) -> Option<PathBuf> {
        let folder = match (&self.cloudsdk_config, &self.appdata, &self.home) {
            (Some(folder), _, _) => folder.clone(),
            (None, Some(folder), _) if cfg!(windows) => folder.join("gcloud"),
            (None, _, Some(home)) => home.join(".config").join("gcloud"),
            (None, _, None) => return None,
        };
        Some(folder.join("application_default_credentials.json"))
    }
}
