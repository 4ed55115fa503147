//! The sample: a laboratory with chromatographs and plate readers. RAW files come from instruments, IDS
//! documents are made of them, PROCESSED files are reports. The number of a file decides what it is.

use serde_json::{Map, Value, json};

use super::content::{Content, scramble};
use super::date::write_ms;
use super::options::{Sample, TetraOptions};
use super::store::{Brought, Plan, Store};

/// When the first file was indexed: 2024-05-06, midnight.
const FIRST_MS: i64 = 1_714_953_600_000;

const PROJECTS: [&str; 5] = ["p-7", "p-11", "p-12", "p-30", "none given"];
const PEOPLE: [&str; 4] = ["Ada Noor", "Rui Faria", "Zoë Brandt", "Kim Oh"];
const COMPOUNDS: [&str; 6] = [
    "caffeine",
    "theobromine",
    "paracetamol",
    "uracil",
    "toluene",
    "aspirin",
];

/// A kind of IDS document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) slug: &'static str,
    pub(super) version: &'static str,
    source: &'static str,
}

/// The namespace of all kinds.
pub(super) const NAMESPACE: &str = "common";

/// All kinds; the first two are versions of one type, with another structure.
pub(super) const KINDS: [Kind; 3] = [
    Kind {
        slug: "lcuv-hplc",
        version: "v1.0.0",
        source: "empower",
    },
    Kind {
        slug: "lcuv-hplc",
        version: "v2.0.0",
        source: "empower",
    },
    Kind {
        slug: "plate-reader",
        version: "v1.0.0",
        source: "agent",
    },
];

/// What is there at the start.
pub(super) fn fill(options: &TetraOptions, now_ms: i64) -> Store {
    let mut store = Store::default();
    if options.sample == Sample::None {
        return store;
    }
    let between = i64::try_from(options.between_ms).unwrap_or(0);
    for number in 0..options.files {
        // Of ten files three are indexed at one time, as after a run of a pipeline over many.
        let place = match number % 10 {
            5 | 6 => number - number % 10 + 4,
            _ => number,
        };
        let at_ms = FIRST_MS + i64::try_from(place).unwrap_or(0) * between;
        // No file comes from the time to come.
        add(&mut store, options, at_ms.min(now_ms));
    }
    store
}

/// Adds the next file of the sample; returns its id.
pub(super) fn add(store: &mut Store, options: &TetraOptions, at_ms: i64) -> Option<String> {
    let number = store.sampled;
    let raw = (number % 2 == 1)
        .then(|| store.files().last().map(|file| file.id.to_string()))
        .flatten();
    store.sampled += 1;
    let brought = match (number % 20, raw) {
        (_, Some(raw)) => ids_file(number, &raw, options, at_ms),
        (18, None) => report(number, at_ms),
        _ => raw_file(number, options, at_ms),
    };
    let brought = store.bring(brought, options, at_ms);
    brought.ok().map(|id| id.to_string())
}

fn raw_file(number: usize, options: &TetraOptions, at_ms: i64) -> Brought {
    let kind = kind(number);
    let path = format!("/{}/lab-{}/run {number:06}.raw", kind.source, number % 4);
    let mut document = common(number, &path, "RAW", kind.source, at_ms);
    document.insert("tags".to_owned(), json!(["instrument", kind.slug]));
    // Exports of plate readers are text, which the agent squeezes now and then.
    let is_text = kind.slug == "plate-reader";
    let content = if is_text {
        let lines =
            (0..96).map(|well| format!("{well},{}\n", scramble(well + number as u64) % 4_000));
        Content::bytes(lines.collect::<String>())
    } else {
        Content::pattern(number as u64, options.raw_bytes)
    };
    Brought {
        document,
        content: Plan::Fixed(content),
        is_gzip: is_text && number.is_multiple_of(5),
        found_in_ms: None,
        is_rewritten: true,
    }
}

fn ids_file(number: usize, raw: &str, options: &TetraOptions, at_ms: i64) -> Brought {
    let kind = kind(number);
    let path = format!(
        "/{}/lab-{}/run {:06}.json",
        kind.source,
        number % 4,
        number - 1
    );
    let mut document = common(number, &path, "IDS", kind.source, at_ms);
    document.insert("rawFileId".to_owned(), json!(raw));
    document.insert("traceId".to_owned(), json!(raw));
    let ids = format!("{NAMESPACE}/{}:{}", kind.slug, kind.version);
    document.insert("ids".to_owned(), json!(ids));
    document.insert("idsType".to_owned(), json!(kind.slug));
    document.insert("idsVersion".to_owned(), json!(kind.version));
    document["source"]["datapipeline"] = json!({"inputFileId": raw});
    document.insert(
        "integration".to_owned(),
        json!({"id": "i-1", "type": "datapipeline", "name": "to-ids", "workflowId": format!("w-{number}"),
            "masterScript": "common/to-ids:v3.1.0", "taskScript": "common/to-ids-task:v3.1.0",
            "taskSlug": kind.slug, "taskExecutionId": format!("t-{number}")}),
    );
    document.insert("data".to_owned(), data(kind, number, at_ms));
    Brought {
        document,
        content: Plan::Data {
            points: options.points,
        },
        is_gzip: false,
        found_in_ms: None,
        is_rewritten: true,
    }
}

fn report(number: usize, at_ms: i64) -> Brought {
    let path = format!("/reports/Übersicht {number:06}.csv");
    let document = common(number, &path, "PROCESSED", "datapipeline", at_ms);
    let text = format!(
        "report,{number}\nproject,{}\n",
        PROJECTS[number % PROJECTS.len()]
    );
    Brought {
        document,
        content: Plan::Fixed(Content::bytes(text)),
        is_gzip: false,
        found_in_ms: None,
        is_rewritten: true,
    }
}

fn kind(number: usize) -> Kind {
    KINDS[number / 2 % KINDS.len()]
}

fn common(
    number: usize,
    path: &str,
    category: &str,
    source: &str,
    at_ms: i64,
) -> Map<String, Value> {
    let mut labels = vec![
        json!({"name": "project", "value": PROJECTS[number % PROJECTS.len()]}),
        json!({"name": "operator", "value": PEOPLE[number % PEOPLE.len()]}),
    ];
    if number.is_multiple_of(7) {
        labels.push(json!({"name": "project", "value": "p-99"}));
    }
    let value = json!({
        "category": category,
        "filePath": path,
        "createdAt": write_ms(at_ms - 1_500),
        "indexedAt": write_ms(at_ms),
        "source": {"id": format!("s-{}", number % 4), "type": source, "name": format!("Lab {}", number % 4)},
        "metadata": {"instrument": format!("{source}-{}", number % 4), "batch": format!("B{:04}", number / 8)},
        "labels": labels,
    });
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The searchable part of an IDS document.
pub(super) fn data(kind: Kind, number: usize, at_ms: i64) -> Value {
    let mut data = json!({
        "@idsNamespace": NAMESPACE,
        "@idsType": kind.slug,
        "@idsVersion": kind.version,
        "samples": [{"id": format!("S-{number:05}"), "name": COMPOUNDS[number % COMPOUNDS.len()],
            "barcode": (!number.is_multiple_of(4)).then(|| format!("{:012}", number * 7919))}],
    });
    let more = match (kind.slug, kind.version) {
        ("lcuv-hplc", "v1.0.0") => json!({
            "runs": [{"id": format!("R-{number}"), "time": write_ms(at_ms - 60_000), "injection_volume": 10.5,
                "status": if number.is_multiple_of(9) { "aborted" } else { "completed" }}],
            "peaks": peaks(number).collect::<Vec<_>>(),
        }),
        ("lcuv-hplc", _) => json!({
            "runs": [{"id": format!("R-{number}"), "time": {"start": write_ms(at_ms - 60_000), "stop": write_ms(at_ms)},
                "injection": {"volume": {"value": 10.5, "unit": "Microliter"}},
                "status": {"code": number % 3, "text": "completed"}}],
            "results": peaks(number).map(|peak| json!({"peak": peak})).collect::<Vec<_>>(),
            "users": [{"name": PEOPLE[number % PEOPLE.len()]}],
        }),
        _ => json!({
            "plate": {"id": format!("P-{number}"), "well_count": 96},
            "wells": (0..4).map(|well| json!({"name": format!("A{}", well + 1),
                "value": (scramble((number * 4 + well) as u64) % 4_000) as f64 / 1_000.0})).collect::<Vec<_>>(),
            "temperature": {"value": (!number.is_multiple_of(5)).then_some(37.0), "unit": "DegreeCelsius"},
        }),
    };
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    data
}

fn peaks(number: usize) -> impl Iterator<Item = Value> {
    (0..3).map(move |peak| {
        let noise = scramble((number * 3 + peak) as u64);
        json!({
            "name": COMPOUNDS[(number + peak) % COMPOUNDS.len()],
            "retention_time": (noise % 9_000) as f64 / 1_000.0,
            "area": noise % 1_000_000,
            "is_manual": noise.is_multiple_of(10),
        })
    })
}
