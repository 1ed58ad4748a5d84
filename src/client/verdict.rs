//! Which files the answer to a request takes, and which it rejects.

use std::collections::BTreeSet;

use super::error::ApiError;
use super::problem::Problem;
use super::wire::{AcceptedImage, SubmitAnswer};

/// What the server answered to all requests together, by position among the files.
#[derive(Default)]
pub(super) struct Uploaded {
    pub(super) taken: Vec<(usize, AcceptedImage)>,
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
pub(super) fn judge(positions: &[usize], answer: Result<SubmitAnswer, ApiError>) -> Result<Uploaded, ApiError> {
    let place = |index: usize| positions.get(index).copied();
    match answer {
        Ok(answer) => Ok(Uploaded {
            taken: answer.images.into_iter().filter_map(|i| Some((place(i.index)?, i))).collect(),
            rejected: answer.rejected.into_iter().filter_map(|r| Some((place(r.index)?, r.problem))).collect(),
            idle: answer
                .models
                .into_iter()
                .filter_map(|(model, load)| (load.workers == Some(0)).then_some(model))
                .collect(),
        }),
        Err(ApiError::Problem(problem)) => match file_faults(&problem, positions.len()) {
            Some(faults) => {
                let rejected = positions.iter().copied().zip(faults).collect();
                Ok(Uploaded { rejected, ..Uploaded::default() })
            }
            None => Err(ApiError::Problem(problem)),
        },
        Err(error) => Err(error),
    }
}

/// One problem per file if the refusal blames each of the `n` files and nothing else.
fn file_faults(problem: &Problem, n: usize) -> Option<Vec<Problem>> {
    if problem.status == 413 && n == 1 {
        return Some(vec![problem.clone()]);
    }
    if problem.status != 422 {
        return None;
    }
    let listed = |index| problem.rejected.iter().find(|file| file.index == index);
    let pointed = |index| {
        let pointer = format!("/images/{index}");
        problem.errors.iter().find(|fault| fault.pointer.as_deref() == Some(&pointer))
    };
    let fault = |index| {
        listed(index).map(|file| file.problem.clone()).or_else(|| {
            let fault = pointed(index)?;
            let (code, detail) = (fault.code.clone(), fault.detail.clone());
            let request_id = problem.request_id.clone();
            Some(Problem { status: 422, code, detail, request_id, ..Problem::default() })
        })
    };
    (0..n).map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Result<SubmitAnswer, ApiError> {
        Err(serde_json::from_str::<Problem>(body).unwrap().into())
    }

    #[test]
    fn a_refusal_about_every_file_rejects_the_files() {
        let body = r#"{"status":422,"errors":[{"pointer":"/images/0","code":"not_an_image"},
            {"pointer":"/images/1","code":"empty_file","detail":"No bytes."}]}"#;
        let judged = judge(&[4, 7], refused(body)).unwrap();
        assert_eq!(judged.rejected[1].0, 7);
        assert_eq!(judged.rejected[1].1.detail.as_deref(), Some("No bytes."));
        let body = r#"{"status":422,"rejected":[{"index":0,"problem":{"code":"not_an_image"}}]}"#;
        assert_eq!(judge(&[9], refused(body)).unwrap().rejected[0].0, 9);
    }

    #[test]
    fn a_refusal_about_the_request_is_an_error() {
        let model = r#"{"status":422,"errors":[{"pointer":"/models/0","code":"unknown_model"}]}"#;
        assert!(judge(&[0], refused(model)).is_err());
        assert!(judge(&[0, 1], refused(r#"{"status":413}"#)).is_err());
        assert!(judge(&[0], refused(r#"{"status":413}"#)).is_ok());
    }

    #[test]
    fn answers_are_mapped_back_to_the_files() {
        let body = r#"{"images":[{"index":1,"md5":"m","jobs":[]}],"models":{"a":{"workers":0},"b":{"workers":2}},
            "rejected":[{"index":0,"name":"x","problem":{"code":"not_an_image","status":422}}]}"#;
        let judged = judge(&[16, 17], Ok(serde_json::from_str(body).unwrap())).unwrap();
        assert_eq!((judged.taken[0].0, judged.rejected[0].0), (17, 16));
        assert_eq!(judged.idle.into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
