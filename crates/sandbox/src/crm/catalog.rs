//! The modules of the organisation: standard ones with the fields that people know, a custom one with
//! a subform, and those that are only there to be refused. Facts: sections 3.5, 5 and 8.2.

use super::field::Field;
use super::module::{Bulk, Module};

/// Fields that every module of records has.
const SYSTEM: &str = "Owner ownerlookup label=Owner
Created_Time datetime readonly
Modified_Time datetime readonly
Created_By ownerlookup readonly
Modified_By ownerlookup readonly
Last_Activity_Time datetime readonly
Tag text 2000
Record_Image profileimage";

const LEADS: &str = "Salutation picklist picks=Mr.:Herr/Mrs.:Frau/Ms./Dr.
First_Name text 40
Last_Name text 80 mandatory
Full_Name text 120 readonly
Company text 200 mandatory
Designation text 100
Email email 100 key
Secondary_Email email 100
Phone phone 30
Mobile phone 30
Fax phone 30
Website website
Lead_Source picklist picks=-None-/Advertisement:Werbung/Cold_Call/Trade_Show:Messe/Web_Download/Import
Lead_Status picklist picks=-None-/Not_Contacted/Contacted/Lost_Lead/Junk_Lead
Industry picklist picks=-None-/Logistics/Retail/Energy/Public_Services adds
No_of_Employees integer 9
Annual_Revenue currency 16
Email_Opt_Out boolean
Street text 250
City text 100
State text 100
Zip_Code text 30
Country text 100
Address address
Description textarea 32000
Interests multiselectpicklist custom picks=Freight/Storage/Customs/Night_Shift:Nachtschicht
Score integer 9 custom
External_Id text 40 custom unique
Member_No autonumber custom
Birthday date custom
Last_Called datetime custom
Rate percent custom
Rebate double custom
Wagon_No bigint 19 custom
Referred_By lookup custom to=Contacts
National_Id text 40 custom encrypted
Papers fileupload custom
Products multiselectlookup custom to=Products
Margin formula custom returns=double
Hologram hologram custom
Fax_Old text 30 custom unused
nearby_distance__s double readonly unavailable";

const CONTACTS: &str = "Salutation picklist picks=Mr./Mrs./Ms./Dr.
First_Name text 40
Last_Name text 80 mandatory
Full_Name text 120 readonly
Account_Name lookup to=Accounts
Email email 100 unique
Secondary_Email email 100
Phone phone 30
Mobile phone 30
Department text 50
Title text 100
Date_of_Birth date
Lead_Source picklist picks=-None-/Advertisement/Cold_Call/Import
Reporting_To lookup to=Contacts
Email_Opt_Out boolean
Mailing_Street text 250
Mailing_City text 30
Mailing_Zip text 30
Mailing_Country text 30
Mailing_Address address
Description textarea 32000
External_Id text 40 custom unique";

const ACCOUNTS: &str = "Account_Name text 200 mandatory key
Account_Number text 40 unique
Phone phone 30
Website website
Industry picklist picks=-None-/Logistics/Retail/Energy/Public_Services
Account_Type picklist picks=-None-/Customer/Partner/Supplier
Employees integer 9
Annual_Revenue currency 16
Parent_Account lookup to=Accounts
Billing_Street text 250
Billing_City text 30
Billing_Country text 30
Billing_Address address
Open_Deals rollup_summary custom returns=double
Description textarea 32000";

const DEALS: &str = "Deal_Name text 120 mandatory key
Account_Name lookup to=Accounts
Contact_Name lookup to=Contacts
Stage picklist 120 mandatory picks=Qualification/Negotiation/Closed_Won:Gewonnen/Closed_Lost
Amount currency 16
Probability integer 9
Closing_Date date mandatory
Next_Step text 100
Type picklist picks=-None-/New/Existing
Description textarea 32000";

const TASKS: &str = "Subject text 255 mandatory
Due_Date date
Status picklist picks=Not_Started/In_Progress/Completed
Priority picklist picks=High/Normal/Low
Who_Id lookup to=Contacts
Reminder picklist
Remind_At ALARM
Recurring_Activity RRULE
Description textarea 32000";

const EVENTS: &str = "Event_Title text 255 mandatory
Start_DateTime datetime mandatory
End_DateTime datetime mandatory
Venue text 255
All_day boolean
Participants text refused
Description textarea 32000";

const CALLS: &str = "Subject text 255 mandatory
Call_Start_Time datetime
Call_Duration text 10
Call_Type picklist picks=Outbound/Inbound/Missed
CTI_Entry boolean readonly refused
Description textarea 32000";

const CASES: &str = "Subject text 255 mandatory key
Status picklist picks=New/On_Hold/Closed
Case_Origin picklist picks=Email/Phone/Web
Related_To lookup to=Contacts
Comments textarea refused
Description textarea 32000";

const PRODUCTS: &str = "Product_Name text 200 mandatory key
Product_Code text 40 unique
Unit_Price currency 16
Product_Active boolean
Vendor_Name lookup to=Vendors
Description textarea 32000";

const VENDORS: &str = "Vendor_Name text 120 mandatory key
Email email 100
Phone phone 30
Description textarea 32000";

const CAMPAIGNS: &str = "Campaign_Name text 200 mandatory key
Type picklist picks=-None-/Conference/Webinar
Start_Date date
Budgeted_Cost currency 16";

const PRICE_BOOKS: &str = "Price_Book_Name text 255 mandatory key
Active boolean
Pricing_Details text refused";

const SITE_VISITS: &str = "Name text 120 mandatory
Account lookup custom to=Accounts
Inspector userlookup custom
Visited_At datetime custom
Passed boolean custom
Findings textarea 32000 custom
Readings subform custom to=Readings";

const READINGS: &str = "Parent_Id lookup mandatory to=Site_Visits
Created_Time datetime readonly
Modified_Time datetime readonly
Meter text 120 custom
Reading double custom";

const LINKS: &str = "Leads lookup to=Leads
Products lookup to=Products
Created_Time datetime readonly";

const DEAL_HISTORY: &str = "Stage picklist picks=Qualification/Negotiation/Closed_Won/Closed_Lost
Deal lookup to=Deals
Amount currency 16
Last_Activity datetime readonly";

const NOTES: &str = "Note_Title text 120
Note_Content textarea 32000
Parent_Id lookup to=Leads";

/// Modules that the metadata calls supported and that bulk reads refuse all the same.
const REFUSED: [&str; 6] = [
    "CTI_Entry",
    "Email_Analytics",
    "Email_Template_Analytics",
    "Functions__s",
    "Email_Sentiment",
    "Locking_Information__s",
];

/// The modules at the start, without records.
pub(super) fn modules() -> Vec<Module> {
    let mut modules = vec![
        records("Leads", LEADS),
        records("Contacts", CONTACTS),
        records("Accounts", ACCOUNTS),
        Module {
            module_name: "Potentials".to_owned(),
            ..records("Deals", DEALS)
        },
        records("Tasks", TASKS),
        // People see another name than programs.
        Module {
            label: "Meetings".to_owned(),
            bulk: Bulk::Read,
            ..records("Events", EVENTS)
        },
        Module {
            bulk: Bulk::Read,
            ..records("Calls", CALLS)
        },
        records("Cases", CASES),
        records("Products", PRODUCTS),
        records("Vendors", VENDORS),
        records("Campaigns", CAMPAIGNS),
        records("Price_Books", PRICE_BOOKS),
        site_visits(),
        Module {
            parent: Some("Site_Visits".to_owned()),
            ..generated("subform", "Readings", READINGS)
        },
        generated("linking", "Leads_X_Products", LINKS),
        Module {
            bulk: Bulk::Read,
            ..generated("web", "DealHistory", DEAL_HISTORY)
        },
        Module {
            bulk: Bulk::Refused,
            ..records("Notes", NOTES)
        },
        Module {
            bulk: Bulk::Refused,
            ..Module::new("Attachments", fields("File_Name text 255"))
        },
        Module {
            is_api_supported: false,
            bulk: Bulk::Refused,
            ..Module::new("Home", Vec::new())
        },
        Module {
            status: "user_hidden".to_owned(),
            ..records(
                "Solutions",
                "Solution_Title text 255 mandatory\nComments textarea refused",
            )
        },
        Module {
            status: "scheduled_for_deletion".to_owned(),
            ..generated("custom", "Old_Routes", "Name text 120 mandatory")
        },
    ];
    modules.extend(REFUSED.map(|name| Module {
        bulk: Bulk::Refused,
        status: "system_hidden".to_owned(),
        ..Module::new(name, Vec::new())
    }));
    modules
}

/// A custom module whose fields have no `json_type`.
fn site_visits() -> Module {
    let mut module = generated("custom", "Site_Visits", &format!("{SITE_VISITS}\n{SYSTEM}"));
    module.module_name = "CustomModule1".to_owned();
    for field in &mut module.fields {
        field.shows_json_type = !field.is_custom;
    }
    module
}

fn records(name: &str, lines: &str) -> Module {
    let mut all = fields(lines);
    all.extend(fields(SYSTEM));
    Module::new(name, all)
}

fn generated(kind: &str, name: &str, lines: &str) -> Module {
    Module {
        generated_type: kind.to_owned(),
        ..Module::new(name, fields(lines))
    }
}

fn fields(lines: &str) -> Vec<Field> {
    lines.lines().map(Field::from_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lookup_points_to_a_module_and_names_are_their_own() {
        let modules = modules();
        for module in &modules {
            for (place, field) in module.fields.iter().enumerate() {
                let same = module
                    .fields
                    .iter()
                    .position(|other| other.name == field.name);
                assert_eq!(same, Some(place), "{}.{}", module.name, field.name);
                if let Some(target) = &field.lookup {
                    assert!(
                        modules.iter().any(|module| module.name == *target),
                        "{target}"
                    );
                }
            }
        }
    }
}
