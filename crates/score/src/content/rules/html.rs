//! What HTML may do in mail.

use super::super::Rule;
use super::super::subject::Subject;
use super::when;

/// Where Gmail cuts.
const CLIPPED: usize = 102 * 1024;
/// As much as the line has that mail programs show beside the subject: hiding that one is usual.
const PREVIEW: usize = 200;
/// With less text than this the images are the message.
const FEW_LETTERS: usize = 40;

pub(super) const RULES: &[&Rule] = &[
    &Rule {
        id: "html-clipped",
        weight: 3,
        source: "Gmail: messages over 102 KB are clipped",
        what: "The HTML is larger than 102 KB",
        why: "Gmail shows the beginning, and \"message clipped\" where the link to unsubscribe should be.",
        fix: "Shorten the HTML: put styles once into the head, leave comments out, link to the rest.",
        check: |subject| {
            let octets = subject.html_octets;
            when(octets > CLIPPED, || format!("{} KB of HTML", octets.div_ceil(1024)))
        },
    },
    &Rule {
        id: "html-active",
        weight: 10,
        source: "Gmail: unsupported elements; SpamAssassin HTML_TAG_EXISTS",
        what: "The HTML has scripts, frames or objects",
        why: "No mail program runs them, and filters take them for an attack.",
        fix: "Take them out; link to a page that has them.",
        check: |subject| subject.html.as_ref()?.active.clone(),
    },
    &Rule {
        id: "html-form",
        weight: 5,
        source: "Outlook and Gmail: forms are not supported",
        what: "The HTML asks for input",
        why: "Forms in mail collect passwords; programs warn of them or drop them.",
        fix: "Link to the form.",
        check: |subject| when(subject.html.as_ref()?.has_form, || "a form, or a field of one".into()),
    },
    &Rule {
        id: "html-hidden",
        weight: 6,
        source: "SpamAssassin HTML_FONT_LOW_CONTRAST, HTML_FONT_SIZE_NONE",
        what: "The HTML holds text that nobody sees",
        why: "Hidden words are there to mislead filters. A preview line of 200 letters is not meant.",
        fix: "Take out what is hidden by display, size or colour.",
        check: |subject| {
            let letters = subject.html.as_ref()?.hidden;
            when(letters > PREVIEW, || format!("{letters} letters that cannot be seen"))
        },
    },
    &Rule {
        id: "image-only",
        weight: 6,
        source: "SpamAssassin HTML_IMAGE_ONLY",
        what: "The message is an image",
        why: "Filters cannot read it, and most readers see an empty frame until they allow images.",
        fix: "Say it in text as well.",
        check: |subject| {
            let page = subject.html.as_ref()?;
            let letters = page.text.chars().filter(|c| c.is_alphanumeric()).count();
            let is_only = !page.images.is_empty() && letters < FEW_LETTERS;
            when(is_only, || format!("{} images and {letters} letters of text", page.images.len()))
        },
    },
    &Rule {
        id: "image-without-text",
        weight: 2,
        source: "HTML Living Standard, img alt; WCAG 2.2, 1.1.1",
        what: "An image has no alt attribute",
        why: "Where images are off, and for whoever cannot see, nothing is there.",
        fix: "Say in alt what the image shows; alt=\"\" where it shows nothing.",
        check: image_without_text,
    },
    &Rule {
        id: "image-as-data",
        weight: 2,
        source: "Gmail: data URIs are not shown",
        what: "An image stands in the HTML itself",
        why: "Gmail and Outlook do not show data: images.",
        fix: "Attach the image and refer to it by cid:, or link to it.",
        check: |subject| {
            let images = subject.html.as_ref()?.images.iter();
            let is_data = |source: &str| {
                source.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"))
            };
            let count = images.filter(|image| is_data(&image.source)).count();
            when(count > 0, || format!("{count} images as data:"))
        },
    },
];

fn image_without_text(subject: &Subject<'_>) -> Option<String> {
    let images = &subject.html.as_ref()?.images;
    let mute: Vec<&str> = images
        .iter()
        .filter(|image| image.alternative.is_none())
        .map(|image| image.source.as_str())
        .collect();
    let first = mute.first()?;
    Some(format!("{} of {} images, the first is {first}", mute.len(), images.len()))
}
