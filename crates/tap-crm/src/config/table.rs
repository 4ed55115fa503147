//! The table of the settings: `--about`, the README and the loader read it.

use singer_runtime::setting::{self, Setting, Shape};

/// The keys in the order in which people should read them.
pub(super) fn settings() -> Vec<Setting> {
    let mut settings = setting::zoho();
    settings.extend(setting::zoho_crm());
    settings.push(setting::start_date());
    settings.extend(choice());
    settings.extend(changes());
    settings.extend(values());
    settings.extend(bulk());
    settings.push(Setting::switch("dry_run").about(
        "Tells what a run would read and about how many credits it would take; reads no record.",
    ));
    settings.extend(setting::http());
    settings.push(setting::user_agent());
    settings
}

fn choice() -> Vec<Setting> {
    vec![
        Setting::list("modules", Shape::Text).about(
            "The modules to discover, by API name or pattern with `*` and `?`; all that can be read if left out.",
        ),
        Setting::new("fields", Shape::map(Shape::list(Shape::Text))).about(
            "The fields of a module (by name or pattern) that are discovered: API names or patterns; `Owner.last_name` reads a field of a parent record. All if left out.",
        ),
        Setting::new("criteria", Shape::map(Shape::Any)).about(
            "A module's own criteria, in the grammar of the service's bulk read: `{\"field\": {\"api_name\": …}, \"comparator\": …, \"value\": …}` or `{\"group_operator\": \"and\", \"group\": […]}`. Only records that fulfil them are read.",
        ),
        Setting::boolean("include_deleted").default(false).about(
            "An incremental read also emits a record with `_sdc_deleted_at` for each that was deleted since the last time.",
        ),
    ]
}

fn changes() -> Vec<Setting> {
    vec![
        Setting::integer("window_days").about(
            "Reads changes in slices of so many days, each of which moves the bookmark; for a first sync of years. Needs a `start_date`.",
        ),
        Setting::integer("window_lag_seconds").default(30).about(
            "Changes are read up to so many seconds ago: for clocks that differ, and for records that are committed late.",
        ),
        Setting::integer("small_change_rows").default(30_000).about(
            "Changes of at most so many records are read by queries (COQL), which take fewer credits than a bulk job; 0 for never.",
        ),
        Setting::integer("query_fields").default(50).about(
            "Fields that one query may select; more are read by further queries and joined by id.",
        ),
    ]
}

fn values() -> Vec<Setting> {
    vec![
        Setting::word("multi_select", &["text", "array"]).default("text").about(
            "What a field of several choices is: the `text` of the service's file, or an `array` of texts.",
        ),
        Setting::text("multi_select_separator").default(";").about(
            "What stands between the choices in the service's file: what comes by a query is joined with it, and an `array` is cut at it.",
        ),
    ]
}

fn bulk() -> Vec<Setting> {
    vec![
        Setting::integer("page_size").default(200_000).about(
            "Records of a page of the service's bulk read; it is the service's number and used to estimate.",
        ),
        Setting::integer("bulk_fields").default(200).about(
            "Fields that one bulk job may read; more are read by further jobs and joined by id.",
        ),
        Setting::integer("parallel_jobs")
            .default(4)
            .about("Bulk jobs at work at once, over all streams."),
        Setting::number("job_timeout_seconds")
            .default(7200)
            .about("After this time a bulk job counts as one that never ends."),
        Setting::number("failed_job_pause_seconds")
            .default(15)
            .about("The pause before a bulk job that failed is made anew, which is done twice."),
        Setting::text("work_folder")
            .about("Where downloads lie while they are read; the system's folder for temporary files if left out."),
        Setting::object(
            "callback",
            vec![
                Setting::text("listen").required().about("The address to listen on, such as `0.0.0.0:8443`."),
                Setting::text("public_url").required().about("The URL under which Zoho reaches that address; its path is the only one that is answered."),
                Setting::secret("secret").required().about("What the callbacks must bring along: the service sends no header of ours, so it is appended to the URL as `?secret=…`. Letters, digits, `-`, `_`, `.` and `~`."),
                Setting::text("certificate").about("A certificate chain as a PEM file, for HTTPS; plain HTTP, behind a proxy, if left out."),
                Setting::text("key").about("Its private key as a PEM file."),
            ],
        )
        .about("Has bulk jobs call back instead of being asked again and again. A callback is only a hint to ask: one that is lost or forged does no harm."),
    ]
}
