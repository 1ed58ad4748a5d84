//! What searches cost: each kind of filter, for who has all images in one case, and for an administrator.

use md5::{Digest, Md5};

use super::meter::Meter;
use super::routes::{Cost, call};
use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::client::Client;

/// An image that is looked at: its entries among the titles, its titles, its items, the outcomes that they are of.
const LOOKED_AT: i64 = 40;
/// Where the first bite of the walk, and as much again, has a page.
const SOON: i64 = 2_000 * LOOKED_AT;
/// Where an index leads to a few: the first bite, and those.
const FEW: i64 = 600 * LOOKED_AT;
/// Where it leads to as many as may be: to their titles, and of a page to what is known of them.
const LED: i64 = 20_000 * 10 + SOON;
/// Where the walk goes on as far as it may, and what indexes there are was looked at in vain.
const FAR: i64 = 20_000 * LOOKED_AT;

/// Two hundred images of which two results are compared, and the walk to find them.
const COMPARED: i64 = 200 * LOOKED_AT + SOON;

/// Searches for everything that there is, often, seldom and never.
pub async fn measure(app: &TestApp, meter: &Meter, images: u32) -> Vec<Cost> {
    let (ines, root) = (app.log_in("ines", PASSWORD).await, app.log_in("root", PASSWORD).await);
    let newest = hex::encode(Md5::digest((images - 3).to_string().as_bytes()));
    let like = format!("like:{newest}");
    let similar =
        [("similar", ""), ("similar", "<=3"), ("similar", "<=11")].map(|(key, bits)| format!("{key}:{newest}{bits}"));
    let filters = [
        ("", SOON),
        ("label:person>=0.9", SOON),
        ("label:some -label:person faces>=3", SOON),
        ("text:street", SOON),
        (".jpg", SOON),
        ("model:ocr", SOON),
        ("type:jpeg width>=4000", SOON),
        ("is:succeeded", SOON),
        ("text:zanzibar", FEW),
        ("zanzibar", FEW),
        ("faces>=50", FEW),
        ("tag:sea", FEW),
        ("camera:leica", FEW + 2_000 * 5),
        ("taken-before:2000-01-01T01:00", FEW),
        ("failed:ocr", LED),
        ("model:rare", LED),
        ("label:seldom", LED),
        ("label:seldom faces=6 -text:zanzibar camera:leica", LED),
        ("label:old", FAR),
        ("bytes<1000", FAR),
        ("label:person label:nothing", FEW),
        (&similar[0], FAR),
        (&similar[1], FEW),
        (&similar[2], FAR),
        (&like, FAR),
    ];
    let mut costs = Vec::new();
    let ines = ("ines", &ines);
    for (filter, bound) in &filters {
        costs.push(page(meter, ines, &[("q", filter)], *bound).await);
    }
    let named = format!("name:{}.jpg", images / 2);
    for who in [ines, ("root", &root)] {
        for (filter, bound) in [("label:person", SOON), ("label:rare", FEW), (&named, FEW)] {
            costs.push(page(meter, who, &[("q", filter)], bound).await);
        }
        costs.push(deep(meter, who, "label:person").await);
    }
    for filter in ["", "label:person", "label:rare"] {
        let path = format!("/search/counts?{}", serde_urlencoded::to_string([("q", filter)]).expect("a query"));
        let (cost, _) =
            call(meter, &format!("ines counts {filter}"), Some(FAR), async || ines.1.get(&path).await).await;
        costs.push(cost);
    }
    for who in [ines, ("root", &root)] {
        for (route, asked, bound) in [("", "", COMPARED), ("", "&kind=lost", COMPARED), ("/counts", "", 10 * COMPARED)]
        {
            let path = format!("/search/changes{route}?model=detect&from=v1&to=v2{asked}");
            costs.push(
                call(meter, &format!("{} GET {path}", who.0), Some(bound), async || who.1.get(&path).await).await.0,
            );
        }
    }
    costs
}

async fn page(meter: &Meter, (name, who): (&str, &Client), fields: &[(&str, &str)], bound: i64) -> Cost {
    let path = format!("/search?{}", serde_urlencoded::to_string(fields).expect("a query"));
    let (mut cost, body) = call(meter, "", Some(bound), async || who.get(&path).await).await;
    let hits = body["items"].as_array().map_or(0, Vec::len);
    let more = if body["next_cursor"].is_null() { "" } else { " and more" };
    let filter: String = fields[0].1.chars().take(50).collect();
    cost.name = format!("{name} search {filter}: {hits}{more}");
    cost
}

/// A page behind many: the tenth.
async fn deep(meter: &Meter, (name, who): (&str, &Client), filter: &str) -> Cost {
    let mut cursor = String::new();
    for _ in 0..9 {
        let fields = [("q", filter), ("cursor", cursor.as_str())];
        let query = serde_urlencoded::to_string(&fields[..if cursor.is_empty() { 1 } else { 2 }]).expect("a query");
        let body = who.get(&format!("/search?{query}")).await.ok(200);
        cursor = body["next_cursor"].as_str().expect("more").to_owned();
    }
    page(meter, (name, who), &[("q", filter), ("cursor", &cursor)], SOON).await
}
