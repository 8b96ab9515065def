//! As much of CSS as text needs to be hidden by: the `style` attribute and the old attributes for colours.

/// How text looks inside an element.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    gone: bool,
    colour: Option<String>,
    background: Option<String>,
}

impl Look {
    /// Whether no reader sees text of this look: not shown, without size, or of the colour that is behind it.
    pub(super) fn is_hidden(&self) -> bool {
        self.gone || (self.colour.is_some() && self.colour == self.background)
    }
}

/// The look inside an element with these attributes.
pub(super) fn look(around: Option<&Look>, attribute: impl Fn(&str) -> Option<String>) -> Look {
    let mut look = around.cloned().unwrap_or_default();
    look.gone |= attribute("hidden").is_some();
    if let Some(value) = attribute("bgcolor") {
        look.background = Some(colour(&value));
    }
    if let Some(value) = attribute("color") {
        look.colour = Some(colour(&value));
    }
    for declaration in attribute("style").unwrap_or_default().split(';') {
        let Some((property, value)) = declaration.split_once(':') else { continue };
        let value = value.to_ascii_lowercase().replace("!important", "");
        let value = value.trim();
        match property.trim().to_ascii_lowercase().as_str() {
            "display" => look.gone |= value == "none",
            "visibility" => look.gone |= value == "hidden",
            "opacity" | "font-size" => look.gone |= is_zero(value),
            "color" => look.colour = Some(colour(value)),
            "background-color" => look.background = Some(colour(value)),
            // An image or a gradient may be behind the text: what colour that has nobody knows.
            "background" | "background-image" => {
                look.background = (!value.contains(['(', ' '])).then(|| colour(value));
            }
            _ => {}
        }
    }
    look
}

/// `0`, `0px`, `.0em`, and not `0.9em`.
fn is_zero(value: &str) -> bool {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    value[..end].parse::<f32>().is_ok_and(|number| number == 0.0)
}

/// One spelling for each colour that is common in mail.
fn colour(value: &str) -> String {
    let value: String = value.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    match value.as_str() {
        "white" | "rgb(255,255,255)" => "#ffffff".to_owned(),
        "black" | "rgb(0,0,0)" => "#000000".to_owned(),
        short if short.len() == 4 && short.starts_with('#') => {
            short.chars().flat_map(|c| std::iter::repeat_n(c, if c == '#' { 1 } else { 2 })).collect()
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_zero_in_any_unit_and_nothing_else_is() {
        for (value, expected) in [
            ("0", true),
            ("0px", true),
            ("0.0em", true),
            ("0.9em", false),
            ("10px", false),
            ("", false),
            ("small", false),
        ] {
            assert_eq!(is_zero(value), expected, "{value}");
        }
    }

    #[test]
    fn colours_compare_however_they_are_written() {
        assert_eq!(colour("#FFF"), colour(" white"));
        assert_eq!(colour("rgb(0, 0, 0)"), colour("#000000"));
        assert_ne!(colour("#ffe"), colour("white"));
    }
}
