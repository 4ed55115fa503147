//! Everything that the stand-in keeps: organisations, workspaces, views, jobs, and what was used.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Failure;
use super::job::Jobs;
use super::options::AnalyticsOptions;
use super::rows::Rows;
use super::table::{Column, View};
use super::usage::{Limits, Usage};

/// The first id that is given out.
const FIRST_ID: u64 = 260_000_000_031_001;

/// The folders of a workspace.
const FOLDERS: [(&str, &str); 2] = [
    ("260000000002003", "Tables & Reports"),
    ("260000000002005", "Raw"),
];

/// A workspace.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    pub(crate) name: String,
    pub(crate) org: String,
}

/// What a user may not do any more. The names are those of control requests.
pub(crate) const PERMISSIONS: [&str; 14] = [
    "append",
    "updateadd",
    "truncateadd",
    "add-row",
    "update-row",
    "delete-row",
    "delete-all-rows",
    "create-table",
    "change-design",
    "delete-view",
    "read-metadata",
    "row-count",
    "export",
    "resources",
];

/// All state.
#[derive(Debug)]
pub(crate) struct Store {
    next_id: u64,
    pub(crate) orgs: BTreeSet<String>,
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    pub(crate) views: BTreeMap<String, View>,
    pub(crate) jobs: Jobs,
    pub(crate) usage: Usage,
    pub(crate) denied: BTreeSet<String>,
    pub(crate) is_unverified: bool,
    /// Slots that others have taken.
    pub(crate) foreign_slots: usize,
    /// Views whose design is being changed: 7198.
    pub(crate) locked_designs: BTreeSet<String>,
    /// How many calls were refused for their frequency.
    pub(crate) throttled: u64,
}

impl Store {
    pub(crate) fn new(options: &AnalyticsOptions) -> Store {
        let workspace = Workspace {
            name: options.workspace_name.clone(),
            org: options.org.clone(),
        };
        Store {
            next_id: FIRST_ID,
            orgs: BTreeSet::from([options.org.clone()]),
            workspaces: BTreeMap::from([(options.workspace.clone(), workspace)]),
            views: BTreeMap::new(),
            jobs: Jobs::default(),
            usage: Usage::new(Limits::new(options)),
            denied: BTreeSet::new(),
            is_unverified: false,
            foreign_slots: 0,
            locked_designs: BTreeSet::new(),
            throttled: 0,
        }
    }

    pub(crate) fn new_id(&mut self) -> String {
        self.next_id += 1;
        self.next_id.to_string()
    }

    /// Refuses what was taken from the user.
    pub(crate) fn require(&self, permission: &str) -> Result<(), Failure> {
        if self.denied.contains(permission) {
            let message = "You do not have the permission for this operation";
            return Err(Failure::new(7301, message));
        }
        Ok(())
    }

    pub(crate) fn workspace(&self, id: &str) -> Result<&Workspace, Failure> {
        self.workspaces
            .get(id)
            .ok_or_else(|| Failure::new(7103, format!("The workspace {id} is not present")))
    }

    pub(crate) fn view_anywhere(&self, id: &str) -> Result<&View, Failure> {
        self.views
            .get(id)
            .ok_or_else(|| Failure::new(7104, format!("The view {id} is not present")))
    }

    pub(crate) fn view(&self, workspace: &str, id: &str) -> Result<&View, Failure> {
        self.workspace(workspace)?;
        let view = self.view_anywhere(id)?;
        if view.workspace != workspace {
            let message = "The view does not belong to the workspace";
            return Err(Failure::new(7319, message));
        }
        Ok(view)
    }

    pub(crate) fn view_mut(&mut self, workspace: &str, id: &str) -> Result<&mut View, Failure> {
        self.view(workspace, id)?;
        self.views
            .get_mut(id)
            .ok_or_else(|| Failure::new(7104, format!("The view {id} is not present")))
    }

    pub(crate) fn view_named(&self, workspace: &str, name: &str) -> Option<&View> {
        let mut views = self.views.values();
        views.find(|view| view.workspace == workspace && view.name.eq_ignore_ascii_case(name))
    }

    /// Refuses a name that a view has.
    pub(crate) fn check_name_free(&self, workspace: &str, name: &str) -> Result<(), Failure> {
        match self.view_named(workspace, name) {
            Some(_) => {
                let message = format!("A view named `{name}` exists already");
                Err(Failure::new(7111, message))
            }
            None => Ok(()),
        }
    }

    /// Makes a table; columns get their ids here.
    pub(crate) fn add_table(
        &mut self,
        workspace: &str,
        name: &str,
        mut columns: Vec<Column>,
        now_ms: u64,
    ) -> String {
        let id = self.new_id();
        for column in &mut columns {
            column.id = self.new_id();
        }
        let [(folder, folder_name), _] = FOLDERS;
        let view = View {
            id: id.clone(),
            workspace: workspace.to_owned(),
            name: name.to_owned(),
            description: String::new(),
            view_type: "Table".to_owned(),
            folder: (folder.to_owned(), folder_name.to_owned()),
            created_ms: now_ms,
            columns,
            rows: Rows::default(),
            last_import: None,
            refusal: None,
            auto_number: 0,
            is_importing: false,
        };
        self.views.insert(id.clone(), view);
        id
    }

    /// The folder of a name.
    pub(crate) fn folder(name: &str) -> Result<(String, String), Failure> {
        let mut folders = FOLDERS.into_iter();
        folders
            .find(|(_, known)| *known == name)
            .map(|(id, name)| (id.to_owned(), name.to_owned()))
            .ok_or_else(|| Failure::new(7144, format!("The folder `{name}` is not present")))
    }

    /// Refuses a change of the design while an import or another change is at work.
    pub(crate) fn check_design_free(&self, view: &View) -> Result<(), Failure> {
        if self.locked_designs.contains(&view.id) {
            let message = "Another change of the design is in progress";
            return Err(Failure::new(7198, message));
        }
        if view.is_importing || self.jobs.is_at_work_on(&view.id) {
            let message = "The table is locked since an import is in progress";
            return Err(Failure::new(7092, message));
        }
        Ok(())
    }

    /// Rows of all tables.
    pub(crate) fn row_count(&self) -> usize {
        self.views.values().map(|view| view.rows.len()).sum()
    }
}
