//! Rows of a chat platform with many tenants: organizations, their contacts and flows, and the messages
//! between them. As everywhere here a row follows from the seed and its index alone.

use serde_json::json;

use crate::source::data::{
    CopyRow, DAY_SECONDS, NEWEST_SECONDS, Random,
    account::timestamp,
    words::{COMPANY_FIRST, COMPANY_SECOND, FIRST_NAMES, LAST_NAMES},
};

/// The columns, in the order in which [`write_organization`] writes them.
pub(crate) const ORGANIZATION_COLUMNS: &str =
    "id, name, shortcode, phone, timezone, is_active, inserted_at, updated_at";
/// The columns, in the order in which [`write_contact`] writes them.
pub(crate) const CONTACT_COLUMNS: &str = "id, organization_id, name, phone, language, status, fields, \
     is_simulator, last_message_at, inserted_at, updated_at";
/// The columns, in the order in which [`write_flow`] writes them.
pub(crate) const FLOW_COLUMNS: &str =
    "id, uuid, organization_id, name, keywords, version, is_active, inserted_at, updated_at";
/// The columns, in the order in which [`write_message`] writes them.
pub(crate) const MESSAGE_COLUMNS: &str = "id, uuid, organization_id, contact_id, sender_id, receiver_id, \
     flow, type, status, body, media, flow_uuid, sent_at, inserted_at, updated_at";

const ORGANIZATION_TABLE: u64 = 5;
const CONTACT_TABLE: u64 = 6;
const FLOW_TABLE: u64 = 7;
const MESSAGE_TABLE: u64 = 8;

/// Messages per contact.
const MESSAGES_PER_CONTACT: u64 = 12;
/// Flows per organization.
const FLOWS_PER_ORGANIZATION: u64 = 6;
/// Every hundredth id is given to no message at first: it is taken by one that commits late.
pub(crate) const ID_GAP: u64 = 100;
/// The messages of the start lie in so many days.
const DAYS: i64 = 365;

const TIME_ZONES: [&str; 5] = [
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Europe/Lisbon",
    "Africa/Nairobi",
];
const LANGUAGES: [&str; 6] = ["en", "hi", "pt", "ne", "ta", "sw"];
const FLOW_NAMES: [&str; 6] = [
    "Welcome",
    "Registration",
    "Weekly quiz",
    "Feedback",
    "Reminder",
    "Help",
];
const BODIES: [&str; 18] = [
    "Hi",
    "Thank you 🙏",
    "Yes",
    "1",
    "2",
    "नमस्ते! आप कैसे हैं?",
    "मुझे आज की कक्षा का समय बताइए।",
    "வணக்கம், வகுப்பு எப்போது?",
    "Olá! Já posso começar a atividade? 😀",
    "Bom dia,\nqual é o próximo passo?\n\nObrigada",
    "Asante sana 🌍",
    "நன்றி\tமீண்டும் சந்திப்போம்",
    "Please reply with\n1. Yes\n2. No\n3. \"Maybe\" (call me back)",
    "Your code is 0042. Do not share it.",
    "👩🏽‍🏫👨‍👩‍👧‍👦",
    "https://example.org/form?id=7&lang=hi#start",
    "C:\\photos\\field \\ visit",
    "The meeting moved to 4:30 pm; bring your notebook, a pen and last week's worksheet. See you there!",
];

/// What a chat platform is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatPlan {
    /// Decides about every value.
    pub seed: u64,
    /// How many messages there are at the start; contacts are in proportion.
    pub messages: u64,
    /// How many organizations there are.
    pub organizations: u64,
}

impl Default for ChatPlan {
    fn default() -> Self {
        Self {
            seed: 1,
            messages: 60_000,
            organizations: 20,
        }
    }
}

impl ChatPlan {
    /// How many contacts there are: the first of each organization is the organization itself.
    pub(crate) fn contacts(&self) -> u64 {
        self.organizations.max(1) * 2 + self.messages / MESSAGES_PER_CONTACT
    }

    pub(crate) fn flows(&self) -> u64 {
        self.organizations.max(1) * FLOWS_PER_ORGANIZATION
    }

    /// Whose a contact is: large organizations have more of them than small ones.
    fn organization_of(&self, contact: u64) -> u64 {
        let organizations = self.organizations.max(1);
        if contact < 2 * organizations {
            return contact % organizations;
        }
        let mut random = Random::for_row(self.seed, CONTACT_TABLE + 100, contact);
        random.below(organizations).min(random.below(organizations))
    }
}

/// The id of the message with an index: every hundredth is left out.
pub(crate) fn message_id(index: u64) -> u64 {
    index / (ID_GAP - 1) * ID_GAP + index % (ID_GAP - 1) + 1
}

/// Appends one organization.
pub(crate) fn write_organization(row: &mut CopyRow, plan: &ChatPlan, index: u64) {
    let mut random = Random::for_row(plan.seed, ORGANIZATION_TABLE, index);
    let name = format!(
        "{} {} Foundation",
        random.pick(&COMPANY_FIRST),
        random.pick(&COMPANY_SECOND)
    );
    let inserted = NEWEST_SECONDS - random.between(DAYS + 30, 2_000) * DAY_SECONDS;
    row.field(index + 1);
    row.field(name);
    row.field(format!("org{}", index + 1));
    row.field(phone(index));
    row.field(random.pick(&TIME_ZONES));
    row.field(index % 10 != 9);
    row.field(timestamp(inserted, 0));
    row.field(timestamp(
        inserted + random.between(0, 30 * DAY_SECONDS),
        random.below(1_000_000),
    ));
    row.end();
}

/// Appends one contact.
pub(crate) fn write_contact(row: &mut CopyRow, plan: &ChatPlan, index: u64) {
    let mut random = Random::for_row(plan.seed, CONTACT_TABLE, index);
    let inserted = NEWEST_SECONDS
        - DAYS * DAY_SECONDS
        - random.between(1, 100) * DAY_SECONDS
        - random.between(0, DAY_SECONDS);
    let updated = inserted + random.between(0, (DAYS + 1) * DAY_SECONDS);
    row.field(index + 1);
    row.field(plan.organization_of(index) + 1);
    row.optional(
        random
            .percent(92)
            .then(|| format!("{} {}", random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES))),
    );
    row.field(phone(index));
    row.field(random.pick(&LANGUAGES));
    row.field(random.pick(&["valid", "valid", "valid", "blocked", "processing"]));
    row.field(fields(&mut random, inserted));
    row.field(index % 500 == 499);
    row.optional(
        random
            .percent(80)
            .then(|| timestamp(updated, random.below(1_000_000))),
    );
    row.field(timestamp(inserted, random.below(1_000_000)));
    row.field(timestamp(updated, random.below(1_000_000)));
    row.end();
}

/// Appends one flow.
pub(crate) fn write_flow(row: &mut CopyRow, plan: &ChatPlan, index: u64) {
    let mut random = Random::for_row(plan.seed, FLOW_TABLE + 100, index);
    let kind = usize::try_from(index % FLOWS_PER_ORGANIZATION).unwrap_or_default();
    let name = FLOW_NAMES.get(kind).copied().unwrap_or_default();
    let inserted = NEWEST_SECONDS - random.between(DAYS, DAYS + 400) * DAY_SECONDS;
    row.field(index + 1);
    row.field(uuid(plan.seed, FLOW_TABLE, index));
    row.field(index / FLOWS_PER_ORGANIZATION + 1);
    row.field(name);
    row.field(json!([name.to_lowercase(), format!("start {kind}")]));
    row.field(random.between(1, 40));
    row.field(random.percent(90));
    row.field(timestamp(inserted, 0));
    row.field(timestamp(
        inserted + random.between(0, 200 * DAY_SECONDS),
        random.below(1_000_000),
    ));
    row.end();
}

/// Appends one message; later ones have greater ids and times.
pub(crate) fn write_message(row: &mut CopyRow, plan: &ChatPlan, index: u64) {
    let mut random = Random::for_row(plan.seed, MESSAGE_TABLE + 100, index);
    let organizations = plan.organizations.max(1);
    let contact = random.between(
        organizations.cast_signed(),
        plan.contacts().cast_signed() - 1,
    );
    let contact = contact.unsigned_abs();
    let organization = plan.organization_of(contact);
    let is_inbound = random.percent(45);
    let kind = if random.percent(88) {
        "text"
    } else {
        random.pick(&["image", "audio", "video", "document", "location"])
    };
    let span = (DAYS - 1) * DAY_SECONDS;
    let step = u64::try_from(span).unwrap_or_default() * index / plan.messages.max(1);
    let inserted = NEWEST_SECONDS - DAYS * DAY_SECONDS + step.cast_signed();
    let seen = inserted + random.between(0, 7_200);
    let micros = random.below(1_000_000);
    row.field(message_id(index));
    row.field(uuid(plan.seed, MESSAGE_TABLE, index));
    row.field(organization + 1);
    row.field(contact + 1);
    let (sender, receiver) = if is_inbound {
        (contact, organization)
    } else {
        (organization, contact)
    };
    row.field(sender + 1);
    row.field(receiver + 1);
    row.field(if is_inbound { "inbound" } else { "outbound" });
    row.field(kind);
    row.field(match (is_inbound, random.below(20)) {
        (true, _) => "received",
        (false, 0) => "error",
        (false, 1..=6) => "delivered",
        (false, _) => "sent",
    });
    row.optional((kind == "text").then(|| random.pick(&BODIES)));
    row.optional((kind != "text").then(|| media(kind, index, &mut random)));
    let flow = organization * FLOWS_PER_ORGANIZATION + random.below(FLOWS_PER_ORGANIZATION);
    row.optional(
        random
            .percent(60)
            .then(|| uuid(plan.seed, FLOW_TABLE, flow)),
    );
    row.optional((!is_inbound).then(|| timestamp(inserted, micros)));
    row.field(timestamp(inserted, micros));
    row.field(timestamp(seen, micros));
    row.end();
}

fn fields(random: &mut Random, inserted: i64) -> serde_json::Value {
    let at = timestamp(inserted, 0);
    let mut fields = json!({
        "age_group": {"label": "Age group", "type": "string", "inserted_at": at,
            "value": random.pick(&["under 14", "14-18", "19 or above"])},
    });
    if random.percent(40) {
        fields["district"] = json!({"label": "District", "type": "string", "inserted_at": at,
            "value": random.pick(&["पुणे", "Mysuru", "Niterói", "Kisumu"])});
    }
    if random.percent(20) {
        fields["score"] = json!({"label": "Score", "type": "integer", "inserted_at": at,
            "value": random.below(101)});
    }
    fields
}

fn media(kind: &str, index: u64, random: &mut Random) -> serde_json::Value {
    if kind == "location" {
        let part = |low: i64, high: i64, random: &mut Random| {
            let number = i32::try_from(random.between(low, high)).unwrap_or_default();
            f64::from(number) / 10_000.0
        };
        return json!({
            "latitude": part(-340_000, 340_000, random),
            "longitude": part(-700_000, 1_000_000, random),
        });
    }
    json!({
        "url": format!("https://media.example.org/{kind}/{index}"),
        "caption": random.percent(50).then(|| random.pick(&BODIES)),
    })
}

fn phone(index: u64) -> String {
    format!("91{:010}", 9_000_000_000 + index)
}

/// A random-looking UUID of version 4.
fn uuid(seed: u64, table: u64, index: u64) -> String {
    let mut random = Random::for_row(seed, table, index);
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundredth_id_is_free() {
        assert_eq!(message_id(0), 1);
        assert_eq!(message_id(98), 99);
        assert_eq!(message_id(99), 101);
        assert!((0..100_000).all(|index| !message_id(index).is_multiple_of(ID_GAP)));
    }

    #[test]
    fn every_organization_has_contacts_and_some_have_many_more() {
        let plan = ChatPlan::default();
        let mut counts = vec![0; 20];
        for contact in 0..plan.contacts() {
            counts[usize::try_from(plan.organization_of(contact)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| *count >= 2), "{counts:?}");
        assert!(counts[0] > 4 * counts[19], "{counts:?}");
    }

    #[test]
    fn a_message_is_the_same_every_time() {
        let plan = ChatPlan::default();
        let text = |index| {
            let mut row = CopyRow::default();
            write_message(&mut row, &plan, index);
            row.take()
        };
        assert_eq!(text(5), text(5));
        assert_ne!(text(5), text(6));
    }
}
