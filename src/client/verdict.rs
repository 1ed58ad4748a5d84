//! Which files the answer to a request takes, and which it rejects.

use std::collections::BTreeSet;

use super::error::ApiError;
use crate::api::problem::Problem;
use crate::api::submit::{Submitted, SubmittedImage};
use crate::domain::fault::Code;

/// What the server answered to all requests together, by position among the files.
#[derive(Default)]
pub(super) struct Uploaded {
    pub(super) taken: Vec<(usize, SubmittedImage)>,
    pub(super) rejected: Vec<(usize, Problem)>,
    /// Models without a live worker: their jobs wait.
    pub(super) idle: BTreeSet<String>,
}

impl Uploaded {
    /// Both together, in the order of coming in.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.taken.extend(other.taken);
        self.rejected.extend(other.rejected);
        self.idle.extend(other.idle);
        self
    }
}

/// Turns the answer to one request into positions; a refusal that is about the files alone
/// rejects them and lets the rest of the folder go on.
pub(super) fn judge(positions: &[usize], answer: Result<Submitted, ApiError>) -> Result<Uploaded, ApiError> {
    let place = |index: usize| positions.get(index).copied();
    match answer {
        Ok(answer) => {
            let idle = answer.models.into_iter().filter(|(_, load)| load.workers == 0);
            Ok(Uploaded {
                taken: answer.images.into_iter().filter_map(|i| Some((place(i.index)?, i))).collect(),
                rejected: answer.rejected.into_iter().filter_map(|r| Some((place(r.index)?, r.problem))).collect(),
                idle: idle.map(|(model, _)| model).collect(),
            })
        }
        Err(ApiError::Refused { problem, retry_after }) => match file_faults(&problem, positions.len()) {
            Some(faults) => {
                let rejected = positions.iter().copied().zip(faults).collect();
                Ok(Uploaded { rejected, ..Uploaded::default() })
            }
            None => Err(ApiError::Refused { problem, retry_after }),
        },
        Err(error) => Err(error),
    }
}

/// One problem per file if the refusal blames each of the `n` files and nothing else.
fn file_faults(problem: &Problem, n: usize) -> Option<Vec<Problem>> {
    if matches!(problem.status, 400 | 408 | 413) && n == 1 {
        return Some(vec![problem.clone()]);
    }
    if problem.status != 422 {
        return None;
    }
    let fault = |index| {
        let pointer = format!("/images/{index}");
        let fault = problem.errors.iter().find(|fault| fault.pointer == pointer)?;
        let (code, detail) = (fault.code.clone(), fault.detail.clone());
        // A newer server may have codes of its own.
        let (title, mend) =
            Code::ALL.iter().find(|known| code == known.as_str()).map_or(("", ""), |c| (c.title(), c.help()));
        let (title, mend) = (title.into(), mend.to_owned());
        Some(Problem { code, detail, title, mend, errors: Vec::new(), ..problem.clone() })
    };
    (0..n).map(fault).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: u16, errors: &[(&str, &str, &str)]) -> Result<Submitted, ApiError> {
        let field = |(pointer, code, detail): &(&str, &str, &str)| json!({"in": "form", "pointer": pointer, "code": code, "detail": detail});
        let problem = json!({"type": "", "title": "", "status": status, "code": "", "detail": "", "mend": "",
            "errors": errors.iter().map(field).collect::<Vec<_>>(), "request_id": null});
        let problem = serde_json::from_value(problem).unwrap();
        Err(ApiError::Refused { problem: Box::new(problem), retry_after: None })
    }

    #[test]
    fn a_refusal_about_every_file_rejects_the_files() {
        let faults = [("/images/0", "not_an_image", ""), ("/images/1", "empty_file", "No bytes.")];
        let judged = judge(&[4, 7], refused(422, &faults)).unwrap();
        assert_eq!(judged.rejected[1].0, 7);
        let told = judged.rejected[1].1.sentence();
        assert!(told.starts_with("Empty file. No bytes. Send the file again"), "{told}");
    }

    #[test]
    fn a_refusal_about_the_request_is_an_error() {
        assert!(judge(&[0], refused(422, &[("/models/0", "unknown_model", "")])).is_err());
        assert!(judge(&[0, 1], refused(413, &[])).is_err());
        assert!(judge(&[0], refused(413, &[])).is_ok());
    }

    #[test]
    fn answers_are_mapped_back_to_the_files() {
        let image = json!({"index": 1, "name": "y", "md5": "m", "sha256": "s", "bytes": 1, "new": true, "warnings": [],
            "jobs": [], "later": 1});
        let problem = json!({"type": "", "title": "", "status": 422, "code": "not_an_image", "detail": "", "mend": "",
            "errors": [], "request_id": null});
        let id = "019aac9e-4e3b-7c11-9d5f-2b7f0a5f3a11";
        let answer = json!({"submission": id, "case": id, "images": [image],
            "rejected": [{"index": 0, "name": "x", "problem": problem}],
            "models": {"a": {"workers": 0, "queued": 0}, "b": {"workers": 2, "queued": 0}}});
        let judged = judge(&[16, 17], Ok(serde_json::from_value(answer).unwrap())).unwrap();
        assert_eq!((judged.taken[0].0, judged.rejected[0].0), (17, 16));
        assert_eq!(judged.idle.into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
