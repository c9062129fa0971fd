//! What is written into the files of a cgroup for limits in the words of the OCI runtime
//! specification (`config-linux.md`, "Control groups").
//!
//! Pure: limits in, files and values out. [`super::v1`] and [`super::v2`] say which; writing is
//! [`super::Cgroup`]'s.

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The controller that has the file.
    pub(crate) controller: &'static str,
    /// The file's name.
    pub(crate) file: String,
    /// What is written.
    pub(crate) value: String,
    /// The limit's name in the specification, for errors.
    pub(crate) field: &'static str,
    /// A kernel built without the file is no error.
    pub(crate) optional: bool,
    /// File and value for a kernel without the first file.
    pub(crate) otherwise: Option<(&'static str, String)>,
}

/// A list of settings in the making.
#[derive(Debug, Default)]
pub(crate) struct Settings(pub(crate) Vec<Setting>);

impl Settings {
    /// Adds a value if there is one.
    pub(crate) fn add(
        &mut self,
        controller: &'static str,
        file: impl Into<String>,
        value: Option<impl ToString>,
        field: &'static str,
    ) {
        if let Some(value) = value {
            self.0.push(Setting {
                controller,
                file: file.into(),
                value: value.to_string(),
                field,
                optional: false,
                otherwise: None,
            });
        }
    }

    /// As [`Settings::add`], for what some kernels have another file for, with values of its own.
    pub(crate) fn add_to_either(
        &mut self,
        controller: &'static str,
        choices: [(&'static str, Option<String>); 2],
        field: &'static str,
    ) {
        let [(file, value), (other, otherwise)] = choices;
        let before = self.0.len();
        self.add(controller, file, value, field);
        for setting in self.0.iter_mut().skip(before) {
            setting.otherwise = otherwise.clone().map(|value| (other, value));
        }
    }

    /// As [`Settings::add`], for a file that not every kernel has.
    pub(crate) fn add_optional(
        &mut self,
        controller: &'static str,
        file: impl Into<String>,
        value: Option<impl ToString>,
        field: &'static str,
    ) {
        let before = self.0.len();
        self.add(controller, file, value, field);
        for setting in self.0.iter_mut().skip(before) {
            setting.optional = true;
        }
    }
}

/// `max` where a limit of zero or less means none.
pub(crate) fn or_max(limit: i64) -> String {
    if limit > 0 {
        limit.to_string()
    } else {
        "max".to_owned()
    }
}
