//! COCO and CASE: what is in them is what the models said, and every reference leads somewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{NAMES, Pier};
use crate::kit::images::md5_of;

#[tokio::test]
async fn coco_tells_boxes_in_pixels_of_the_upright_image() {
    let pier = Pier::new().await;
    let coco: Value = serde_json::from_slice(&pier.export(&pier.viewer, "coco", "").await).expect("JSON");
    let list = |of: &str| coco[of].as_array().expect("a list").clone();
    let by_id = |of: &str| -> BTreeMap<u64, Value> {
        list(of).into_iter().map(|one| (one["id"].as_u64().expect("an id"), one)).collect()
    };
    let (images, annotations, categories) = (by_id("images"), by_id("annotations"), by_id("categories"));
    assert_eq!((images.len(), annotations.len(), categories.len()), (4, 4, 4));
    for image in images.values() {
        assert_eq!((&image["width"], &image["height"]), (&json!(30), &json!(40)), "as people see it");
        let md5 = image["md5"].as_str().expect("an MD5");
        assert_eq!(image["file_name"], format!("originals/{}/{md5}.jpg", &md5[..2]));
        assert!(NAMES.contains(&image["name"].as_str().expect("a name")));
    }
    let told: BTreeMap<&str, &Value> = annotations
        .values()
        .map(|one| (categories[&one["category_id"].as_u64().expect("an id")]["name"].as_str().expect("a name"), one))
        .collect();
    let image = |one: &Value| images[&one["image_id"].as_u64().expect("an id")]["md5"].clone();
    let person = told["person"];
    assert_eq!((&person["bbox"], &person["area"]), (&json!([3.0, 8.0, 12.0, 16.0]), &json!(192.0)));
    assert_eq!((&person["score"], &person["model"], &person["version"]), (&json!(0.9), &json!("detect"), &json!("v1")));
    assert_eq!(person["segmentation"], json!([[3.0, 8.0, 15.0, 8.0, 15.0, 24.0, 3.0, 24.0]]));
    assert_eq!(image(person), md5_of(&pier.photos[0]));
    assert_eq!(
        (&told["=car"]["segmentation"], &told["=car"]["area"]),
        (&json!([[0.0, 0.0, 30.0, 0.0, 30.0, 40.0]]), &json!(600.0))
    );
    assert_eq!(
        (&told["face"]["keypoints"], &told["face"]["num_keypoints"]),
        (&json!([3.0, 4.0, 2.0, 9.0, 8.0, 2.0]), &json!(2))
    );
    assert_eq!((&told["text"]["text"], image(told["text"])), (&json!("+31 6 1234"), json!(md5_of(&pier.photos[1]))));
    let labelled = images.values().find(|image| image["md5"] == md5_of(&pier.photos[0])).expect("the first");
    assert_eq!(labelled["labels"], json!([{"label": "outdoors", "score": 0.7, "model": "detect", "version": "v1"}]));
    // A case without photographs is a document all the same.
    let none: Value = serde_json::from_slice(&pier.export(&pier.viewer, "coco", "label:nobody").await).expect("JSON");
    assert_eq!([&none["images"], &none["annotations"], &none["categories"]], [&json!([]); 3]);
}

/// All that a document names, and all that it refers to.
fn ids(value: &Value, named: &mut BTreeSet<String>, referred: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(id) = members.get("@id").and_then(Value::as_str) {
                let into = if members.len() == 1 { &mut *referred } else { &mut *named };
                into.insert(id.to_owned());
            }
            members.values().for_each(|value| ids(value, named, referred));
        }
        Value::Array(values) => values.iter().for_each(|value| ids(value, named, referred)),
        _ => {}
    }
}

#[tokio::test]
async fn case_tells_files_tools_actions_and_results_and_refers_to_nothing_else() {
    let pier = Pier::new().await;
    pier.app.alter("UPDATE outcome SET document = jsonb_set(document, '{fields,exact}', '12345678901234567890.123456789') WHERE document->'fields' ? 'faces'").await;
    let text = String::from_utf8(pier.export(&pier.viewer, "case", "").await).expect("UTF-8");
    let (case, mut named, mut referred): (Value, _, _) =
        (serde_json::from_str(&text).expect("JSON"), BTreeSet::new(), BTreeSet::new());
    ids(&case["@graph"], &mut named, &mut referred);
    assert_eq!(referred.difference(&named).next(), None);
    let graph = case["@graph"].as_array().expect("a graph");
    let of = |kind: &str| graph.iter().filter(|node| node["@type"] == kind).collect::<Vec<_>>();
    let counts = [
        "uco-observable:File",
        "uco-tool:Tool",
        "case-investigation:InvestigativeAction",
        "uco-analysis:AnalyticResult",
        "uco-core:Annotation",
    ];
    // Of each model the version that answered, and the model itself, of which one job failed.
    assert_eq!(counts.map(|kind| of(kind).len()), [4, 4, 8, 6, 1]);
    let investigation = of("case-investigation:Investigation")[0];
    assert_eq!(
        (&investigation["uco-core:name"], &investigation["uco-core:description"]),
        (&json!("Pier \"4\""), &json!("21 November"))
    );
    assert_eq!(investigation["uco-core:object"].as_array().map(Vec::len), Some(graph.len() - 1));
    let file = of("uco-observable:File")
        .into_iter()
        .find(|file| file.to_string().contains(&md5_of(&pier.photos[0]).to_uppercase()))
        .expect("the first photograph");
    let facet = |kind: &str| {
        let facets = file["uco-core:hasFacet"].as_array().expect("facets").iter();
        facets.clone().find(|facet| facet["@type"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    assert_eq!(facet("uco-observable:FileFacet")["uco-observable:fileName"], json!([NAMES[0]]));
    assert_eq!(facet("uco-observable:RasterPictureFacet")["uco-observable:pictureWidth"], 30);
    let exif = facet("uco-observable:EXIFFacet")["uco-observable:exifData"]["uco-types:entry"].to_string();
    assert!(exif.contains("2026:08:01 18:30:00") && exif.contains("=Camera"), "{exif}");
    let action = of("case-investigation:InvestigativeAction")
        .into_iter()
        .find(|action| action["uco-action:object"]["@id"] == file["@id"] && action["uco-core:name"] == "detect v1")
        .expect("the action");
    let record = pier.record(0).await;
    assert!(text.contains(r#""exact": 12345678901234567890.123456789"#), "what no double holds is as it was said");
    let known = record["results"]
        .as_array()
        .expect("results")
        .iter()
        .find(|result| result["model"] == "detect")
        .expect("its result");
    let moment =
        |text: &Value| text.as_str().expect("a time").parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
    assert_eq!(moment(&action["uco-action:endTime"]["@value"]), moment(&known["finished_at"]));
    let result = graph.iter().find(|node| node["@id"] == action["uco-action:result"]["@id"]).expect("the result");
    assert_eq!(result["drk:document"]["@value"], known["result"]);
    let classes = result["uco-core:hasFacet"]["uco-analysis:classification"].as_array().expect("classes");
    assert_eq!(
        classes.iter().map(|class| &class["uco-analysis:class"]).collect::<Vec<_>>(),
        ["person", "=car", "outdoors", "face"]
    );
    assert_eq!(classes[0]["uco-analysis:classificationConfidence"]["@value"], "0.900000");
    let failed = of("case-investigation:InvestigativeAction")
        .into_iter()
        .filter(|action| action["uco-action:actionStatus"] == "Fail");
    assert_eq!(failed.count(), 2);

    // A job that was taken back did not fail.
    let ask = json!({"images": [md5_of(&pier.photos[2])], "models": ["ocr"], "params": {"ocr": {"language": "de"}}, "case": pier.case});
    let asked = pier.owner.post("/predict", ask).await.ok(202);
    let id = asked["submission"].as_str().expect("an id");
    pier.owner.post(&format!("/submissions/{id}/cancel"), json!({})).await.ok(200);
    let case: Value = serde_json::from_slice(&pier.export(&pier.viewer, "case", "").await).expect("JSON");
    let mut graph = case["@graph"].as_array().expect("a graph").iter();
    let cancelled = graph.find(|node| node["drk:state"] == "cancelled").expect("the job that was taken back");
    assert_eq!(cancelled["uco-action:actionStatus"], "Unknown");
}
