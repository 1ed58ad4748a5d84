//! Types that are one of a few words, which are the same in SQL and on the wire.

/// Gives an enum its words: all of them, the word of each and the one of a word.
macro_rules! words {
    ($name:ident { $($variant:ident $word:literal),+ }) => {
        impl $name {
            /// Every one, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one of that word.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text).ok_or_else(|| format!("{text:?} is no {}", stringify!($name)))
            }
        }
    };
}

pub(crate) use words;
