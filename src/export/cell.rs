//! Cells of tables for spreadsheets (RFC 4180).

/// What makes a spreadsheet take a cell for a formula, the wide forms of some keyboards too.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A text as a cell. One that a spreadsheet would take for a formula begins with an apostrophe.
pub fn text_cell(text: &str) -> String {
    let guard = if text.starts_with(FORMULA) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formula() {
        assert_eq!(text_cell("a,b\n\"c\""), "\"a,b\n\"\"c\"\"\"");
        for formula in ["=HYPERLINK(\"x\")", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"] {
            assert!(text_cell(formula).starts_with("\"'"), "{formula}");
        }
        assert_eq!(text_cell(""), "\"\"");
    }
}
