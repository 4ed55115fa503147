//! `--about`: what a binary is and takes, as text, as JSON in the Meltano SDK's shape, as Markdown.

use serde_json::{Map, Value, json};

use crate::config::variable;
use crate::program::{Program, Role};
use crate::setting::{Flag, Setting, Shape};

/// The form of `--about`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Markdown,
}

/// The description of a program, with a line end.
pub(crate) fn render(program: &Program, format: Format) -> String {
    match format {
        Format::Text => text(program),
        Format::Json => format!("{:#}\n", json_document(program)),
        Format::Markdown => markdown(&program.settings),
    }
}

fn text(program: &Program) -> String {
    let mut out = format!(
        "{} {}\n{}\n\nSettings (in the config; `--config ENV` reads the variables):\n",
        program.name, program.version, program.description
    );
    for (key, setting) in rows(&program.settings, "") {
        out.push_str(&format!("\n  {key}  ({})", facts(setting)));
        if !setting.about.is_empty() {
            out.push_str(&format!("\n      {}", setting.about));
        }
        if is_top_level(&key) && setting.flag != Flag::Switch {
            out.push_str(&format!("\n      {}", variable(program.name, &key)));
        }
    }
    out.push('\n');
    out
}

/// The settings table as READMEs embed it.
fn markdown(settings: &[Setting]) -> String {
    let mut out =
        "| setting | takes | default | what it is for |\n| --- | --- | --- | --- |\n".to_owned();
    for (key, setting) in rows(settings, "") {
        let default = match &setting.default {
            Some(default) => format!("`{default}`"),
            None if setting.required => "required".to_owned(),
            None => String::new(),
        };
        let cells = [
            flag_or_key(&key, setting),
            takes(&setting.shape),
            default,
            setting.about.to_owned(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}

fn json_document(program: &Program) -> Value {
    let capabilities: &[&str] = match program.role {
        Role::Tap => &[
            "catalog",
            "state",
            "discover",
            "about",
            "test",
            "properties",
            "activate-version",
            "structured-logging",
        ],
        Role::Map => &["about", "activate-version", "batch", "structured-logging"],
        Role::Target => &[
            "about",
            "activate-version",
            "batch",
            "validate-records",
            "structured-logging",
        ],
    };
    json!({
        "name": program.name,
        "description": program.description,
        "version": program.version,
        "capabilities": capabilities,
        "settings": object_schema(&program.settings),
    })
}

fn object_schema(settings: &[Setting]) -> Value {
    let keys = settings
        .iter()
        .filter(|setting| setting.flag != Flag::Switch);
    let properties: Map<String, Value> = keys
        .clone()
        .map(|setting| (setting.name.to_owned(), setting_schema(setting)))
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let required: Vec<&str> = keys
        .filter(|setting| setting.required)
        .map(|setting| setting.name)
        .collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn setting_schema(setting: &Setting) -> Value {
    let mut schema = shape_schema(&setting.shape);
    if !setting.about.is_empty() {
        schema["description"] = json!(setting.about);
    }
    if let Some(default) = &setting.default {
        schema["default"] = default.clone();
    }
    if let Some(starter) = setting.starter {
        schema["starter"] = json!(starter);
    }
    if let Some(example) = &setting.example {
        schema["examples"] = json!([example]);
    }
    schema
}

fn shape_schema(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Word(words) => json!({"type": "string", "enum": words}),
        Shape::Secret => json!({"type": ["string", "object"], "secret": true, "writeOnly": true}),
        Shape::Integer => json!({"type": "integer"}),
        Shape::Number => json!({"type": "number"}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::DateTime => json!({"type": "string", "format": "date-time"}),
        Shape::List(of) => json!({"type": "array", "items": shape_schema(of)}),
        Shape::Either(shapes) => {
            json!({"anyOf": shapes.iter().map(shape_schema).collect::<Vec<_>>()})
        }
        Shape::Object(settings) => object_schema(settings),
        Shape::Map(of) => json!({"type": "object", "additionalProperties": shape_schema(of)}),
        Shape::Any => json!({}),
    }
}

/// All settings with their dotted keys, those inside objects after the object.
fn rows<'a>(settings: &'a [Setting], prefix: &str) -> Vec<(String, &'a Setting)> {
    let mut rows = Vec::new();
    for setting in settings {
        let key = if prefix.is_empty() {
            setting.name.to_owned()
        } else {
            format!("{prefix}.{}", setting.name)
        };
        rows.push((key.clone(), setting));
        rows.extend(inner_rows(&setting.shape, &key));
    }
    rows
}

fn inner_rows<'a>(shape: &'a Shape, key: &str) -> Vec<(String, &'a Setting)> {
    match shape {
        Shape::Object(settings) => rows(settings, key),
        Shape::Map(of) => inner_rows(of, &format!("{key}.<name>")),
        Shape::List(of) => inner_rows(of, &format!("{key}[]")),
        Shape::Either(shapes) => shapes
            .iter()
            .flat_map(|shape| inner_rows(shape, key))
            .collect(),
        _ => Vec::new(),
    }
}

fn is_top_level(key: &str) -> bool {
    !key.contains(['.', '['])
}

fn flag_or_key(key: &str, setting: &Setting) -> String {
    let flag = setting.name.replace('_', "-");
    match setting.flag {
        Flag::None => format!("`{key}`"),
        Flag::Value => format!("`{key}`, `--{flag}`"),
        Flag::Switch => format!("`--{flag}`"),
    }
}

fn facts(setting: &Setting) -> String {
    let mut facts = takes(&setting.shape).replace('`', "");
    if setting.required {
        facts.push_str(", required");
    }
    if let Some(default) = &setting.default {
        facts.push_str(&format!(", default {default}"));
    }
    match setting.flag {
        Flag::None => {}
        Flag::Value => facts.push_str(&format!(", --{}", setting.name.replace('_', "-"))),
        Flag::Switch => facts.push_str(&format!(", only --{}", setting.name.replace('_', "-"))),
    }
    facts
}

fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Word(words) => format!("`{}`", words.join("`, `")),
        Shape::Secret => "secret".to_owned(),
        Shape::Integer => "integer".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Boolean => "boolean".to_owned(),
        Shape::DateTime => "date-time".to_owned(),
        Shape::List(of) => format!("list of {}", takes(of)),
        Shape::Either(shapes) => {
            let forms: Vec<String> = shapes.iter().map(takes).collect();
            forms.join(" or ")
        }
        Shape::Object(_) => "object".to_owned(),
        Shape::Map(of) => match &**of {
            Shape::Object(_) => "map from name to object".to_owned(),
            of => format!("map from name to {}", takes(of)),
        },
        Shape::Any => "any JSON".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Settings;

    #[derive(serde::Deserialize)]
    struct Config {}

    impl Settings for Config {
        fn settings() -> Vec<Setting> {
            vec![
                Setting::secret("password")
                    .required()
                    .about("The password."),
                Setting::integer("port").default(5439).flag(),
                Setting::map("streams", vec![Setting::word("kind", &["a", "b"])]),
                Setting::switch("full"),
            ]
        }
    }

    fn program() -> Program {
        Program::new::<Config>(Role::Tap, "tap-x", "Reads x.", "1.2.3", "")
    }

    #[test]
    fn json_has_the_shape_of_the_meltano_sdk() {
        let document: Value = serde_json::from_str(&render(&program(), Format::Json)).unwrap();
        assert_eq!(document["name"], "tap-x");
        let settings = &document["settings"];
        assert_eq!(settings["required"], json!(["password"]));
        assert_eq!(settings["properties"]["password"]["secret"], true);
        assert_eq!(
            settings["properties"]["port"],
            json!({"type": "integer", "default": 5439})
        );
        assert!(settings["properties"].get("full").is_none());
        assert!(settings["properties"].get("start_date").is_some());
    }

    #[test]
    fn markdown_lists_keys_inside_objects_by_their_path() {
        let table = render(&program(), Format::Markdown);
        assert!(table.contains("| `password` | secret | required | The password. |\n"));
        assert!(table.contains("| `port`, `--port` | integer | `5439` |  |\n"));
        assert!(table.contains("| `streams.<name>.kind` | `a`, `b` |  |  |\n"));
        assert!(table.contains("| `--full` | boolean |  |  |\n"));
    }

    #[test]
    fn text_names_the_variables_of_the_environment() {
        let text = render(&program(), Format::Text);
        assert!(text.contains("\n      TAP_X_PASSWORD\n"));
        assert!(!text.contains("TAP_X_FULL"));
    }
}
