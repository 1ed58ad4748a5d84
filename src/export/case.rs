//! CASE/UCO (CASE 1.4, UCO 1.4) as JSON-LD: photographs are files with their hashes, names and EXIF; versions of models are tools; jobs are
//! actions of tools on files, with their times and results; notes are annotations. What the ontology has no place for, as boxes, stands in the
//! result as it is kept, under `drk:document`.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::pieces::{DocumentEnd, ExportAbout, Pieces};
use super::result::ToldResult;
use crate::domain::exhibit::{Exhibit, ExhibitDerived, ExhibitJob, ExhibitResult};

/// What the prefixes stand for: those of the ontology, what is named here, and words of our own.
const CONTEXT: &str = r#"{"@context":{
"kb":"urn:darkroom:kb:",
"drk":"urn:darkroom:terms:",
"case-investigation":"https://ontology.caseontology.org/case/investigation/",
"uco-action":"https://ontology.unifiedcyberontology.org/uco/action/",
"uco-analysis":"https://ontology.unifiedcyberontology.org/uco/analysis/",
"uco-core":"https://ontology.unifiedcyberontology.org/uco/core/",
"uco-observable":"https://ontology.unifiedcyberontology.org/uco/observable/",
"uco-tool":"https://ontology.unifiedcyberontology.org/uco/tool/",
"uco-types":"https://ontology.unifiedcyberontology.org/uco/types/",
"xsd":"http://www.w3.org/2001/XMLSchema#"},
"@graph":[
"#;

/// A document that is being written. What belongs to the investigation is collected aside: it is told of it at the end.
#[derive(Debug)]
pub struct CaseGraph {
    about: ExportAbout,
    /// Versions of models that were told of.
    tools: HashSet<String>,
    /// Whether anything belongs to it yet.
    begun: bool,
}

impl CaseGraph {
    pub(super) fn begin(about: &ExportAbout, out: &mut Pieces) -> Self {
        out.main.push_str(CONTEXT);
        Self { about: about.clone(), tools: HashSet::new(), begun: false }
    }

    pub(super) fn add(&mut self, exhibit: &Exhibit, out: &mut Pieces) -> serde_json::Result<()> {
        let file = id("file", &exhibit.md5);
        self.node(out, of_file(exhibit, &file));
        for note in &exhibit.notes {
            let told = json!({"@id": id("annotation", &note.id.to_string()), "@type": "uco-core:Annotation", "uco-core:statement": note.text,
                "uco-core:object": {"@id": file}, "uco-core:objectCreatedTime": time(note.at), "drk:by": note.by});
            self.node(out, told);
        }
        for result in &exhibit.results {
            let tool = self.tool(out, &result.model, Some(&result.version));
            self.result(out, result, &file, &tool)?;
        }
        for job in &exhibit.unsuccessful {
            let tool = self.tool(out, &job.model, None);
            self.node(out, of_job(job, &file, &tool));
        }
        Ok(())
    }

    fn node(&mut self, out: &mut Pieces, node: Value) {
        self.node_with(out, node, &[]);
    }

    /// Writes a node with JSON in it as it is kept: read as values, its numbers would be what a double holds of them.
    fn node_with(&mut self, out: &mut Pieces, node: Value, kept: &[(&str, Option<&RawValue>)]) {
        let comma = if std::mem::replace(&mut self.begun, true) { ",\n" } else { "" };
        out.aside.push_str(comma);
        out.aside.push_str(&json!({"@id": node["@id"]}).to_string());
        let mut text = node.to_string();
        for (word, json) in kept.iter().filter_map(|(word, json)| Some((word, (*json)?))) {
            text.pop();
            text.push_str(&format!(r#","{word}":{{"@type":"@json","@value":{json}}}}}"#));
        }
        out.main.push_str(&text);
        out.main.push_str(",\n");
    }

    /// A version of a model, or the model itself where nobody knows the version; told of once.
    fn tool(&mut self, out: &mut Pieces, model: &str, version: Option<&str>) -> String {
        let tool = id("tool", &format!("{model}\n{}", version.unwrap_or_default()));
        if self.tools.insert(tool.clone()) {
            let mut told = json!({"@id": tool, "@type": "uco-tool:Tool", "uco-core:name": model, "uco-tool:toolType": "machine learning model"});
            if let Some(version) = version {
                told["uco-tool:version"] = version.into();
            }
            self.node(out, told);
        }
        tool
    }

    fn result(&mut self, out: &mut Pieces, result: &ExhibitResult, file: &str, tool: &str) -> serde_json::Result<()> {
        let (job, told) = (result.job.to_string(), ToldResult::read(&result.result)?);
        let mut node = json!({"@id": id("result", &job), "@type": "uco-analysis:AnalyticResult"});
        if let Some(summary) = &told.summary {
            node["uco-core:description"] = json!(summary);
        }
        let (mut classes, mut texts) = (Vec::new(), Vec::new());
        for (place, item) in told.items().enumerate() {
            if let (Some(label), "box" | "label" | "points" | "text") = (&item.label, item.kind.as_str()) {
                let mut class = json!({"@id": id("class", &format!("{job}\n{place}")), "@type": "uco-analysis:ArtifactClassification",
                    "uco-analysis:class": label});
                if let Some(score) = item.score {
                    class["uco-analysis:classificationConfidence"] = typed("xsd:decimal", format!("{score:.6}"));
                }
                classes.push(class);
            }
            texts.extend(item.text.filter(|_| item.kind == "text"));
        }
        if !texts.is_empty() {
            node["uco-core:statement"] = json!(texts);
        }
        if !classes.is_empty() {
            node["uco-core:hasFacet"] = json!({"@id": id("classes", &job), "@type": "uco-analysis:ArtifactClassificationResultFacet",
                "uco-analysis:classification": classes});
        }
        let named = (node["@id"].clone(), format!("{} {}", result.model, result.version));
        self.node_with(out, node, &[("drk:document", Some(&*result.result)), ("drk:params", result.params.as_deref())]);
        let mut action = action(&job, &named.1, file, tool, "Complete/Finish");
        action["uco-action:result"] = json!({"@id": named.0});
        action["uco-action:endTime"] = time(result.finished_at);
        if let Some(at) = result.started_at {
            action["uco-action:startTime"] = time(at);
        }
        self.node(out, action);
        Ok(())
    }

    pub(super) fn end(self) -> DocumentEnd {
        let Self { about, .. } = self;
        let mut investigation = json!({"@id": id("investigation", &about.case.to_string()), "@type": "case-investigation:Investigation",
            "uco-core:name": about.case_name, "drk:export": about.export.to_string(), "drk:askedBy": about.by, "drk:askedAt": time(about.asked_at)});
        for (word, text) in [("uco-core:description", about.description), ("drk:filter", about.filter)] {
            if !text.is_empty() {
                investigation[word] = text.into();
            }
        }
        let head = investigation.to_string();
        DocumentEnd {
            between: format!("{},\"uco-core:object\":[\n", head.strip_suffix('}').unwrap_or(&head)),
            last: "\n]}\n]}\n".to_owned(),
        }
    }
}

/// What is named in the document: of a kind, and the same for the same wherever it is told.
fn id(kind: &str, key: &str) -> String {
    let digest = Sha256::digest(format!("{kind}\n{key}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // Of the versions up to 5, as the ontology suggests.
    format!("kb:{kind}-{}", Builder::from_sha1_bytes(bytes).into_uuid())
}

fn typed(kind: &str, value: String) -> Value {
    json!({"@type": kind, "@value": value})
}

fn time(at: DateTime<Utc>) -> Value {
    typed("xsd:dateTime", at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn of_file(exhibit: &Exhibit, file: &str) -> Value {
    let part = |kind: &str| id(kind, &exhibit.md5);
    let hash = |kind: &str, method: &str, value: &str| json!({"@id": part(kind), "@type": "uco-types:Hash", "uco-types:hashMethod": method, "uco-types:hashValue": typed("xsd:hexBinary", value.to_uppercase())});
    let (path, upright) = (exhibit.path(), exhibit.upright());
    let mut names: Vec<&str> = exhibit.names.iter().map(|name| name.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let extension = path.rsplit('.').next().unwrap_or_default();
    let mut facets = vec![
        json!({"@id": part("file-facet"), "@type": "uco-observable:FileFacet", "uco-observable:fileName": names, "uco-observable:filePath": path,
            "uco-observable:extension": extension, "uco-observable:sizeInBytes": exhibit.bytes}),
        json!({"@id": part("content-facet"), "@type": "uco-observable:ContentDataFacet", "uco-observable:mimeType": exhibit.media_type,
            "uco-observable:sizeInBytes": exhibit.bytes,
            "uco-observable:hash": [hash("md5", "MD5", &exhibit.md5), hash("sha256", "SHA256", &exhibit.sha256)]}),
        json!({"@id": part("picture-facet"), "@type": "uco-observable:RasterPictureFacet", "uco-observable:pictureType": extension,
            "uco-observable:pictureWidth": upright.width as u64, "uco-observable:pictureHeight": upright.height as u64}),
    ];
    facets.extend(exhibit.derived.as_ref().and_then(|derived| of_exif(exhibit, derived)));
    let tags: Vec<&str> = exhibit.tags.iter().map(|tag| tag.tag.as_str()).collect();
    let mut node = json!({"@id": file, "@type": "uco-observable:File", "uco-core:hasFacet": facets});
    if !tags.is_empty() {
        node["uco-core:tag"] = json!(tags);
    }
    if let Some(first) = exhibit.names.last().filter(|_| !exhibit.older_names_left_out) {
        node["uco-core:objectCreatedTime"] = time(first.uploaded_at);
    }
    node
}

fn of_exif(exhibit: &Exhibit, derived: &ExhibitDerived) -> Option<Value> {
    let taken = derived.taken_at.map(|at| at.format("%Y:%m:%d %H:%M:%S").to_string());
    let number = |number: Option<f64>| number.map(|number| number.to_string());
    let known = [
        ("DateTimeOriginal", taken),
        ("Model", derived.camera.clone()),
        ("LensModel", derived.lens.clone()),
        ("GPSLatitude", number(derived.latitude)),
        ("GPSLongitude", number(derived.longitude)),
        ("Orientation", exhibit.orientation.map(|turned| turned.to_string())),
    ];
    let entries: Vec<Value> = known
        .into_iter()
        .filter_map(|(key, value)| {
            Some(json!({"@id": id("exif-entry", &format!("{}\n{key}", exhibit.md5)), "@type": "uco-types:ControlledDictionaryEntry",
                "uco-types:key": key, "uco-types:value": value?}))
        })
        .collect();
    let dictionary =
        json!({"@id": id("exif", &exhibit.md5), "@type": "uco-types:ControlledDictionary", "uco-types:entry": entries});
    let facet = json!({"@id": id("exif-facet", &exhibit.md5), "@type": "uco-observable:EXIFFacet", "uco-observable:exifData": dictionary});
    dictionary_has_entries(&facet).then_some(facet)
}

fn dictionary_has_entries(facet: &Value) -> bool {
    facet["uco-observable:exifData"]["uco-types:entry"].as_array().is_some_and(|entries| !entries.is_empty())
}

fn action(job: &str, name: &str, file: &str, tool: &str, status: &str) -> Value {
    json!({"@id": id("action", job), "drk:job": job, "@type": "case-investigation:InvestigativeAction", "uco-core:name": name,
        "uco-action:actionStatus": status, "uco-action:instrument": {"@id": tool}, "uco-action:object": {"@id": file}})
}

fn of_job(job: &ExhibitJob, file: &str, tool: &str) -> Value {
    let status = match job.state.as_str() {
        "queued" => "Pending",
        "running" => "Ongoing",
        "failed" => "Fail",
        // The ontology has no word for what was taken back.
        _ => "Unknown",
    };
    let mut node = action(&job.job.to_string(), &job.model, file, tool, status);
    node["drk:state"] = json!(job.state);
    let why: Vec<&str> =
        [&job.reason, &job.error_type, &job.error_message].iter().filter_map(|part| part.as_deref()).collect();
    if !why.is_empty() {
        node["uco-core:description"] = why.join(": ").into();
    }
    if let Some(at) = job.finished_at {
        node["uco-action:endTime"] = time(at);
    }
    node
}
