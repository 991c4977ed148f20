//! The script of a listener, and where it can send sessions.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::{BackendAddress, OnScriptError, ProxyVersion, Role, SendProxy, Spanned, Weight};

use super::{Names, Pool};
use crate::script::{Script, Scripts};
use crate::seldom::Seldom;

/// The script of a listener.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) script: Arc<dyn Script>,
    pub(crate) on_error: OnScriptError,
    /// All pools there are, by name.
    pools: Arc<HashMap<Arc<str>, Arc<Pool>>>,
    /// How often it failed.
    pub(crate) failures: Seldom,
}

impl Scripted {
    /// The script of `listener`, if it has one; it must have been loaded then.
    pub(super) fn new(
        listener: &model::Listener,
        scripts: &Scripts,
        pools: &Arc<HashMap<Arc<str>, Arc<Pool>>>,
    ) -> Option<Box<Self>> {
        let configured = listener.script.as_ref()?;
        let script = scripts.get(&listener.name).expect("scripts are loaded with their listeners");
        Some(Box::new(Self {
            script: Arc::clone(script),
            on_error: configured.value.on_error,
            pools: Arc::clone(pools),
            failures: Seldom::default(),
        }))
    }

    /// The pool of this name.
    pub(crate) fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.get(name)
    }
}

impl Pool {
    /// A pool for one session: of this backend, whose name has these addresses, and which is told
    /// about the client so.
    pub(crate) fn of_remote(
        remote: &BackendAddress,
        addresses: &[IpAddr],
        proxy: Option<ProxyVersion>,
    ) -> Self {
        let mut names = Names::new(&[]);
        if let BackendAddress::Name { host, .. } = remote {
            names.get(host).post(addresses.to_vec());
        }
        let backend = model::Backend {
            address: Spanned::default_of(remote.clone()),
            weight: Weight::ONE,
            max: None,
            role: Role::Primary,
        };
        let name = Spanned::default_of(Self::OF_SCRIPT.to_owned());
        let pool = model::Pool {
            send_proxy: proxy.map(|version| Spanned::default_of(SendProxy::new(version))),
            ..model::Pool::new(name, vec![backend])
        };
        Self { is_passing: true, ..Self::compile(&pool, None, None, &mut names) }
    }

    /// A pool without backends, of a listener that has none but its script.
    pub(super) fn of_nobody() -> Self {
        let name = Spanned::default_of(Self::OF_SCRIPT.to_owned());
        Self::compile(&model::Pool::new(name, Vec::new()), None, None, &mut Names::new(&[]))
    }

    /// What records call the pool of a remote that a script has named.
    pub(crate) const OF_SCRIPT: &str = "script";
}
