//! Which operations a guard knows of.

use super::Guard;
use super::listing::{Listed, Listings};
use crate::audit::{Known, KnownIssuer, Operations};

/// # Operations
impl Guard {
    /// Returns the operations that this guard knows of, and what stands out in its set-up.
    ///
    /// These are the layers that have a [name](crate::layer::GuardLayer::named), the methods of [rules](Self::rules), and
    /// the tools and methods of an MCP server, such as `tools/call search`. A layer that is dropped, with everything that
    /// was made of it, leaves the list. Clones of a layer are one operation. Layers without a name are counted, and what a
    /// handler asks for with [`narrow`](Self::narrow) is not known here.
    ///
    /// Name each layer by its method and path. Then the record has one name for all requests to it, and
    /// [`Signals`](crate::audit::Signals) and `testing::unguarded` know which requests belong to it.
    ///
    /// The list is of this guard and its clones: a setting makes [another guard](Guard), whose list is empty at first.
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "testing"))] {
    /// use axum::{Router, routing::get};
    /// use unconfused::{Audience, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # async fn list() {}
    /// # let issuer = TestIssuer::new("https://login.example").issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let list = get(list).route_layer(guard.require(READ).named("GET /orders"));
    /// let app: Router = Router::new().route("/orders", list);
    ///
    /// assert_eq!(guard.operations().to_string(), "\
    /// audience  https://orders.example
    /// issuer    https://login.example
    ///
    /// operation    step-up  approval  requires
    /// GET /orders  -        -         scope=orders:read
    /// ");
    /// drop(app);
    /// assert!(guard.operations().listed().is_empty());
    /// # }
    /// ```
    #[must_use]
    pub fn operations(&self) -> Operations {
        let (mut listed, mut unnamed_layers) = (Vec::new(), 0_usize);
        for one in self.inner.listings.all() {
            match &*one {
                Listed::Operations(operations) => listed.extend_from_slice(operations),
                Listed::UnnamedLayer => unnamed_layers = unnamed_layers.saturating_add(1),
            }
        }
        let issuers = self.issuers().map(|issuer| {
            let profile = &issuer.terms.profile;
            KnownIssuer {
                name: issuer.name().to_owned(),
                kind_is_checked: profile.checks_kind(),
                audience_is_optional: profile.client_list_instead_of_audience.is_some(),
            }
        });
        let (audiences, issuers) = (self.audiences().to_vec(), issuers.collect());
        Operations::new(Known { audiences, issuers, listed, unnamed_layers })
    }

    pub(super) fn listings(&self) -> &Listings {
        &self.inner.listings
    }
}
