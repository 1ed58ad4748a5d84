//! Makes a failing list of steps short: leaves out ever smaller parts as long as what is left still fails
//! (<https://doi.org/10.1109/32.988498>).

use std::time::Instant;

/// The shortest failing list found until then; `fails` says whether a list fails.
pub async fn shrink<T: Clone>(list: Vec<T>, until: Instant, mut fails: impl AsyncFnMut(&[T]) -> bool) -> Vec<T> {
    let mut list = list;
    let mut size = list.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut shorter = false;
        while from < list.len() {
            if Instant::now() > until {
                return list;
            }
            let to = (from + size).min(list.len());
            let without = [&list[..from], &list[to..]].concat();
            if fails(&without).await {
                list = without;
                shorter = true;
            } else {
                from = to;
            }
        }
        size = match size {
            1 if shorter => 1,
            size => size / 2,
        };
    }
    list
}

#[tokio::test]
async fn what_is_not_needed_to_fail_is_left_out() {
    let until = Instant::now() + std::time::Duration::from_secs(10);
    let list = shrink((0..100).collect(), until, async |l: &[i32]| l.contains(&7) && l.contains(&93)).await;
    assert_eq!(list, [7, 93]);
}
