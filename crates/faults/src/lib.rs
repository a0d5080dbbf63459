#![doc = include_str!("../README.md")]

#[cfg(debug_assertions)]
mod fault;

use std::io;

#[cfg(debug_assertions)]
pub use fault::{Fault, Point, points};

/// A step of a service, as `steps!` declares them.
pub trait Step: Copy + Send + 'static {
    /// All of the service's steps.
    #[cfg(debug_assertions)]
    const ALL: &'static [Self];

    /// The name of the service and of the step: `order.PlaceReserve`.
    #[cfg(debug_assertions)]
    fn name(self) -> &'static str;

    /// Whether doing it again changes nothing.
    #[cfg(debug_assertions)]
    fn is_repeatable(self) -> bool;
}

/// Declares the steps of a service, each with a comment:
///
/// ```
/// orderflow_faults::steps! { "order":
///     /// The orders of a batch are written.
///     Write: repeatable,
///     /// The caller is answered.
///     Answer,
/// }
/// ```
#[macro_export]
macro_rules! steps {
    ($service:literal: $($(#[$about:meta])* $step:ident $(: $repeatable:ident)?),* $(,)?) => {
        /// Where this service can be made to fail.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[$about])* $step,)*
        }

        impl $crate::Step for Step {
            #[cfg(debug_assertions)]
            const ALL: &'static [Self] = &[$(Self::$step,)*];

            #[cfg(debug_assertions)]
            fn name(self) -> &'static str {
                match self {
                    $(Self::$step => concat!($service, ".", stringify!($step)),)*
                }
            }

            #[cfg(debug_assertions)]
            fn is_repeatable(self) -> bool {
                // The word itself is not needed, but says which steps these are.
                const REPEATABLE: &[(Step, &str)] =
                    &[$($((Step::$step, stringify!($repeatable)),)?)*];
                REPEATABLE.iter().any(|(step, _)| *step == self)
            }
        }
    };
}

/// What can be a step.
pub trait At<T, E>: Future<Output = Result<T, E>> + Sized {
    /// This is a step.
    fn at(self, step: impl Step) -> impl Future<Output = Result<T, E>>
    where
        E: From<io::Error>;
}

impl<T, E, F: Future<Output = Result<T, E>>> At<T, E> for F {
    #[cfg(debug_assertions)]
    async fn at(self, step: impl Step) -> Result<T, E>
    where
        E: From<io::Error>,
    {
        fault::before(step)?;
        let done = self.await?;
        fault::after(step)?;
        Ok(done)
    }

    #[cfg(not(debug_assertions))]
    fn at(self, _step: impl Step) -> impl Future<Output = Result<T, E>> {
        self
    }
}

/// A step that may be repeated: `work` again does what `work` does once.
#[cfg(debug_assertions)]
pub async fn repeatable<T, E, F>(step: impl Step, work: impl Fn() -> F) -> Result<T, E>
where
    E: From<io::Error>,
    F: Future<Output = Result<T, E>>,
{
    debug_assert!(step.is_repeatable(), "{}", step.name());
    if fault::is_done_twice(step) {
        work().await?;
    }
    work().at(step).await
}

/// A step that may be repeated: `work` again does what `work` does once.
#[cfg(not(debug_assertions))]
pub fn repeatable<T, E, F>(_step: impl Step, work: impl Fn() -> F) -> F
where
    F: Future<Output = Result<T, E>>,
{
    work()
}
