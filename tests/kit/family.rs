//! Processes of other programs, as Linux lists them.

/// A process and its children: PostgreSQL's backends answer without their parent.
pub fn family(pid: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|child| state_and_parent(child).is_some_and(|(_, parent)| parent == pid));
    std::iter::once(pid.to_owned()).chain(children).collect()
}

/// The state, `Z` for one that is dead but not reaped, and the parent of a process; nothing when it is gone.
pub fn state_and_parent(pid: &str) -> Option<(String, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // They follow the name in parentheses, which may hold anything.
    let mut fields = text.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}
