//! How a message and its sender look to those who receive it: rules about the content, and the ten points.

pub mod content;
pub mod page;
pub mod points;
