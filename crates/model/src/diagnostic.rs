//! A fault of a configuration, as data.
//!
//! A fault in what a user wrote is never an `Err`: it is a [`Diagnostic`], and
//! reading goes on, so that all faults are shown at once. Text is made from it
//! at the rim (the dialects render it, later versions also as JSON).

use crate::source::Span;

/// One thing to tell the user about what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of fault; stable over versions.
    pub code: Code,
    /// The fault in one line, without a full stop.
    pub message: String,
    /// The words at fault, if they are written anywhere.
    pub span: Option<Span>,
    /// A few words shown under the span.
    pub label: String,
    /// A second place that matters ("first bound here"), with its words.
    pub related: Option<(Span, String)>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A fault of kind `code` at `span`.
    pub fn new(code: Code, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            span: span.into(),
            label: String::new(),
            related: None,
            help: None,
        }
    }

    /// Adds the few words under the span.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// Whether a configuration with this fault can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, but probably not as meant.
    Warning,
    /// It does not run.
    Error,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal $severity:ident,)+) => {
        /// The kinds of fault, by number. A number is never given a second meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as a user sees it: `E` for errors, `W` for warnings, four digits.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What faults of this kind are, in a sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// How bad faults of this kind are.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    /// The command line as a whole does not make sense: a word missing, unknown, or too many.
    Usage = "E0001" Error,
    /// A word that is not UTF-8.
    NotText = "E0002" Error,
    /// A file or folder that cannot be read.
    File = "E0003" Error,
    /// Text that is not TOML, or has not the form of its dialect.
    Syntax = "E0004" Error,
    /// A key or table that is not known.
    KeyUnknown = "E0005" Error,
    /// A key that must be there and is not.
    KeyMissing = "E0006" Error,
    /// A value of another type than its key takes.
    Type = "E0007" Error,
    /// Something that is planned and cannot be done yet.
    NotYet = "E0008" Error,
    /// A `${NAME}` that is not closed, or whose variable is not set.
    Variable = "E0009" Error,
    /// Something that this program was built without.
    NotBuilt = "E0010" Error,
    /// Text that should be a port is not one, or is out of range.
    Port = "E0101" Error,
    /// Text that should be an address is not one.
    Address = "E0102" Error,
    /// A target or listener without the port it needs.
    PortMissing = "E0103" Error,
    /// A host name that cannot be one.
    HostName = "E0104" Error,
    /// A host name where names were refused.
    NameRefused = "E0105" Error,
    /// A unix socket name that the kernel would not take.
    UnixName = "E0106" Error,
    /// A source address or interface that cannot be one, or does not fit the targets.
    Source = "E0107" Error,
    /// A range of addresses that is not one.
    Cidr = "E0108" Error,
    /// A word behind a target that is not known.
    TargetOption = "E0109" Error,
    /// A weight out of range.
    Weight = "E0110" Error,
    /// A duration that is not one.
    Duration = "E0111" Error,
    /// A number without the unit it needs.
    UnitMissing = "E0112" Error,
    /// A number that is not one, or out of range.
    Number = "E0113" Error,
    /// A word that must be one of a few.
    Choice = "E0114" Error,
    /// A path that cannot be a file.
    Path = "E0115" Error,
    /// A user or group that cannot be one.
    User = "E0116" Error,
    /// A name that a listener or pool cannot have.
    Name = "E0117" Error,
    /// A rate that is not one.
    Rate = "E0118" Error,
    /// A program that cannot be run as it is written.
    Program = "E0119" Error,
    /// A URL that cannot stand in a request.
    Url = "E0120" Error,
    /// A pattern of a route that is not one: a name, a path, an expression, bytes, hours.
    Pattern = "E0122" Error,
    /// A script that cannot run.
    Script = "E0123" Error,
    /// A certificate, a key, or a list of them that cannot be used.
    Certificate = "E0131" Error,
    /// A folder for certificates that cannot be used.
    Store = "E0132" Error,
    /// The digest of a public key that is not one.
    Pin = "E0130" Error,
    /// Two binds that exclude each other.
    BindConflict = "E0201" Error,
    /// A listener whose pool does not exist.
    PoolUnknown = "E0202" Error,
    /// A backend that is one of our own listeners.
    Loop = "E0203" Error,
    /// A pool without a backend.
    PoolEmpty = "E0204" Error,
    /// Options that exclude each other.
    Conflict = "E0205" Error,
    /// Two listeners, pools or tables of the same name.
    NameTwice = "E0206" Error,
    /// UDP is to go to a unix socket.
    UdpToUnix = "E0207" Error,
    /// The target `original` where nobody is diverted.
    Original = "E0208" Error,
    /// The target `requested` where nobody asks for one.
    Requested = "E0212" Error,
    /// A proxy that anybody could use.
    OpenProxy = "E0213" Error,
    /// A route whose conditions no session can meet.
    RouteImpossible = "E0210" Error,
    /// An address range has bits set beyond its length.
    HostBits = "W0301" Warning,
    /// The same target is named twice in a pool.
    TargetTwice = "W0302" Warning,
    /// An allow entry that a deny entry covers whole.
    AllowShadowed = "W0303" Warning,
    /// A setting that is given more than once; the last one counts.
    Repeated = "W0304" Warning,
    /// A pool that no listener uses.
    PoolUnused = "W0305" Warning,
    /// A queue in a pool whose backends are never full.
    QueueUnused = "W0306" Warning,
    /// A route whose sessions an earlier one takes.
    RouteShadowed = "W0307" Warning,
    /// A certificate that has expired, or is not valid yet.
    CertificateDate = "W0341" Warning,
    /// A file of certificates that others can read, or do not take.
    CertificateFile = "W0342" Warning,
    /// A certificate is to be shown for a name that does not stand in it.
    CertificateName = "W0343" Warning,
    /// Backends of which nobody verifies who they are.
    Unverified = "W0320" Warning,
    /// A word of an old tool that is taken and does nothing.
    Ignored = "W0331" Warning,
    /// A value that is not what it looks like to most.
    ReadAs = "W0332" Warning,
    /// An `include` that includes nothing.
    IncludeMissing = "W0333" Warning,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_name_their_severity() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} is used twice");
            let letter = match code.severity() {
                Severity::Error => 'E',
                Severity::Warning => 'W',
            };
            assert!(text.starts_with(letter) && text.len() == 5, "{text}");
        }
    }
}
