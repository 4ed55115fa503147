//! The endpoints of section 2: how they are addressed, what they need, and what they cost.

use axum::http::Method;

use super::options::JobScope;
use super::usage::{Cost, Group};

/// A call, with the ids of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Orgs,
    Workspaces,
    Workspace(String),
    MetaDetails,
    Views(String),
    ViewDetails(String),
    Metadata(Place),
    ImportDetails(Place),
    Resources,
    CreateTable(String),
    AddColumns(Place),
    RenameColumn(Place, String),
    DeleteView(Place),
    AddRow(Place),
    UpdateRows(Place),
    DeleteRows(Place),
    Import(String, Option<String>),
    ImportJob(String, Option<String>),
    ImportBatch(String, Option<String>),
    JobState(String, String),
    Export(Place),
    ExportState(String, String),
    ExportFile(String, String),
}

/// A view in its workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) workspace: String,
    pub(crate) view: String,
}

impl Endpoint {
    /// Finds the endpoint of a method and a path behind `/restapi/v2`.
    pub(crate) fn find(method: &Method, path: &str) -> Option<Endpoint> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let method = method.as_str();
        if let ["bulk", "workspaces", workspace, rest @ ..] = parts.as_slice() {
            return bulk(method, workspace, rest);
        }
        let own = |text: &str| text.to_owned();
        let endpoint = match (method, parts.as_slice()) {
            ("GET", ["orgs"]) => Endpoint::Orgs,
            ("GET", ["workspaces"]) => Endpoint::Workspaces,
            ("GET", ["metadetails"]) => Endpoint::MetaDetails,
            ("GET", ["resources"]) => Endpoint::Resources,
            ("GET", ["views", view]) => Endpoint::ViewDetails(own(view)),
            ("GET", ["workspaces", workspace]) => Endpoint::Workspace(own(workspace)),
            ("GET", ["workspaces", workspace, "views"]) => Endpoint::Views(own(workspace)),
            ("POST", ["workspaces", workspace, "tables"]) => Endpoint::CreateTable(own(workspace)),
            ("POST", ["workspaces", workspace, "data"]) => Endpoint::Import(own(workspace), None),
            (_, ["workspaces", workspace, "views", view, rest @ ..]) => {
                return of_view(method, Place::new(workspace, view), rest);
            }
            _ => return None,
        };
        Some(endpoint)
    }

    /// The group of the frequency limits.
    pub(crate) fn group(&self) -> Group {
        match self {
            Endpoint::AddRow(_) | Endpoint::UpdateRows(_) | Endpoint::DeleteRows(_) => Group::Rows,
            Endpoint::Import(..)
            | Endpoint::ImportJob(..)
            | Endpoint::ImportBatch(..)
            | Endpoint::JobState(..)
            | Endpoint::Export(_)
            | Endpoint::ExportState(..)
            | Endpoint::ExportFile(..) => Group::Bulk,
            _ => Group::Metadata,
        }
    }

    /// The scopes of which one is needed.
    pub(crate) fn scopes(&self, job_scope: JobScope) -> &'static [&'static str] {
        match self {
            Endpoint::Resources => &["ZohoAnalytics.usermanagement.read"],
            Endpoint::CreateTable(_) | Endpoint::AddColumns(_) => {
                &["ZohoAnalytics.modeling.create"]
            }
            Endpoint::RenameColumn(..) => &["ZohoAnalytics.modeling.update"],
            Endpoint::DeleteView(_) => &["ZohoAnalytics.modeling.delete"],
            Endpoint::AddRow(_)
            | Endpoint::Import(..)
            | Endpoint::ImportJob(..)
            | Endpoint::ImportBatch(..) => &["ZohoAnalytics.data.create"],
            Endpoint::UpdateRows(_) => &["ZohoAnalytics.data.update"],
            Endpoint::DeleteRows(_) => &["ZohoAnalytics.data.delete"],
            Endpoint::JobState(..) => match job_scope {
                JobScope::Either => &["ZohoAnalytics.data.read", "ZohoAnalytics.data.create"],
                JobScope::Read => &["ZohoAnalytics.data.read"],
                JobScope::Create => &["ZohoAnalytics.data.create"],
            },
            Endpoint::Export(_) | Endpoint::ExportState(..) | Endpoint::ExportFile(..) => {
                &["ZohoAnalytics.data.read"]
            }
            _ => &["ZohoAnalytics.metadata.read"],
        }
    }

    /// What it costs, rows of imports and exports aside.
    pub(crate) fn cost(&self) -> Cost {
        match self.group() {
            Group::Bulk => Cost::Nothing,
            _ => match self {
                Endpoint::CreateTable(_) => Cost::CreateTable,
                Endpoint::AddColumns(_) => Cost::AddColumn,
                Endpoint::RenameColumn(..) | Endpoint::DeleteView(_) => Cost::ChangeDesign,
                Endpoint::AddRow(_) => Cost::AddRow,
                Endpoint::UpdateRows(_) => Cost::UpdateRow,
                Endpoint::DeleteRows(_) => Cost::DeleteRow,
                _ => Cost::Look,
            },
        }
    }

    /// Whether the header with the organisation has to be there. The details of workspaces and views
    /// tell it, and so do without.
    pub(crate) fn needs_org(&self) -> bool {
        !matches!(
            self,
            Endpoint::Orgs
                | Endpoint::Workspaces
                | Endpoint::Workspace(_)
                | Endpoint::ViewDetails(_)
        )
    }

    /// The workspace that it is about.
    pub(crate) fn workspace(&self) -> Option<&str> {
        match self {
            Endpoint::Orgs
            | Endpoint::Workspaces
            | Endpoint::MetaDetails
            | Endpoint::Resources
            | Endpoint::ViewDetails(_) => None,
            Endpoint::Workspace(workspace)
            | Endpoint::Views(workspace)
            | Endpoint::CreateTable(workspace)
            | Endpoint::Import(workspace, _)
            | Endpoint::ImportJob(workspace, _)
            | Endpoint::ImportBatch(workspace, _)
            | Endpoint::JobState(workspace, _)
            | Endpoint::ExportState(workspace, _)
            | Endpoint::ExportFile(workspace, _) => Some(workspace),
            Endpoint::Metadata(place)
            | Endpoint::ImportDetails(place)
            | Endpoint::AddColumns(place)
            | Endpoint::RenameColumn(place, _)
            | Endpoint::DeleteView(place)
            | Endpoint::AddRow(place)
            | Endpoint::UpdateRows(place)
            | Endpoint::DeleteRows(place)
            | Endpoint::Export(place) => Some(&place.workspace),
        }
    }
}

impl Place {
    fn new(workspace: &str, view: &str) -> Place {
        Place {
            workspace: workspace.to_owned(),
            view: view.to_owned(),
        }
    }
}

fn of_view(method: &str, place: Place, rest: &[&str]) -> Option<Endpoint> {
    let endpoint = match (method, rest) {
        ("DELETE", []) => Endpoint::DeleteView(place),
        ("GET", ["metadata"]) => Endpoint::Metadata(place),
        ("GET", ["importdetails"]) => Endpoint::ImportDetails(place),
        ("POST", ["columns"]) => Endpoint::AddColumns(place),
        ("PUT", ["columns", column]) => Endpoint::RenameColumn(place, (*column).to_owned()),
        ("POST", ["rows"]) => Endpoint::AddRow(place),
        ("PUT", ["rows"]) => Endpoint::UpdateRows(place),
        ("DELETE", ["rows"]) => Endpoint::DeleteRows(place),
        ("POST", ["data"]) => Endpoint::Import(place.workspace, Some(place.view)),
        _ => return None,
    };
    Some(endpoint)
}

fn bulk(method: &str, workspace: &str, rest: &[&str]) -> Option<Endpoint> {
    let own = |text: &str| text.to_owned();
    let workspace = own(workspace);
    let endpoint = match (method, rest) {
        ("POST", ["data"]) => Endpoint::ImportJob(workspace, None),
        ("POST", ["data", "batch"]) => Endpoint::ImportBatch(workspace, None),
        ("POST", ["views", view, "data"]) => Endpoint::ImportJob(workspace, Some(own(view))),
        ("POST", ["views", view, "data", "batch"]) => {
            Endpoint::ImportBatch(workspace, Some(own(view)))
        }
        ("GET", ["importjobs", job]) => Endpoint::JobState(workspace, own(job)),
        ("GET", ["views", view, "data"]) => Endpoint::Export(Place::new(&workspace, view)),
        ("GET", ["exportjobs", job]) => Endpoint::ExportState(workspace, own(job)),
        ("GET", ["exportjobs", job, "data"]) => Endpoint::ExportFile(workspace, own(job)),
        _ => return None,
    };
    Some(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_endpoints() {
        let find = |method: Method, path: &str| Endpoint::find(&method, path);
        assert_eq!(find(Method::GET, "/orgs"), Some(Endpoint::Orgs));
        assert_eq!(
            find(Method::PUT, "/workspaces/1/views/2/columns/3"),
            Some(Endpoint::RenameColumn(Place::new("1", "2"), "3".to_owned()))
        );
        assert_eq!(
            find(Method::POST, "/bulk/workspaces/1/views/2/data/batch"),
            Some(Endpoint::ImportBatch("1".to_owned(), Some("2".to_owned())))
        );
        let sync = find(Method::POST, "/workspaces/1/views/2/data");
        assert_eq!(sync.map(|it| it.group()), Some(Group::Bulk));
        assert_eq!(find(Method::PUT, "/orgs"), None);
        assert_eq!(find(Method::GET, "/bulk/workspaces/1/data"), None);
    }
}
