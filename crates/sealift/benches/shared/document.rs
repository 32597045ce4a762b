//! The document that holds the figures.

use std::path::Path;

use crate::Failed;

/// Writes the part with this heading anew: what lies between a line that begins with the heading and names the command
/// that writes it, and one that ends it.
pub(crate) fn write(path: &Path, heading: &str, command: &str, figures: &str) -> Result<(), Failed> {
    let begin = format!("<!-- {heading}: written by `{command}` -->");
    let end = format!("<!-- end of {heading} -->");
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{shown} has not the lines `{begin}` and `{end}`"))?;
    let text = format!("{before}{begin}\n\n{figures}\n{end}{after}");
    std::fs::write(path, text).map_err(|error| format!("cannot write {shown}: {error}").into())
}
