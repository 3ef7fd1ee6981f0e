//! The guide: one chapter for each thing that you set out to do.
//!
//! Start with [protect a route](protect_a_route). The other chapters can be read in any order.
//!
//! 1. [Protect a route](protect_a_route): where a guard stands, and what a handler does with its grant.
//! 2. [Step-up](step_up): ask for a strong and recent login before a destructive operation.
//! 3. [Approve one operation](approve_one_operation): consent to this order and this amount, compared with the request, or
//!    approved by a human, once.
//! 4. [Ask a policy engine](ask_a_policy_engine): the rule about one request, which may answer "yes, if".
//! 5. [Delegation](delegation): which agents may act for a user.
//! 6. [Issuers and tenants](issuers_and_tenants): keys, several issuers, issuers with tenants.
//! 7. [Vendor profiles](vendor_profiles): tokens that are not RFC 9068, and how to find the right profile.
//! 8. [My token is refused](my_token_is_refused): from the reason to the cause, and what to set.
//! 9. [Kubernetes and Entra B2C](kubernetes_and_b2c): two issuers whose profile you write yourself.
//! 10. [Proof of possession](proof_of_possession): DPoP, certificates, tokens that count once.
//! 11. [Plain functions](plain_functions): without tower, guard, async or clock.
//! 12. [Other frameworks](other_frameworks): actix-web, Lambda, and any framework that is not built on tower.
//! 13. [gRPC and streams](grpc_and_streams): what each method requires, what clients are told, and streams that end with
//!     their token.
//! 14. [MCP servers](mcp_servers): which tool requires what, what clients are told, sessions and streams.
//! 15. [Call the next service](call_the_next_service): a token of its own for each hop, and what cannot be done with it.
//! 16. [JWTs of your own](jwts_of_your_own): plain JWTs, signed with a private key of your service.
//! 17. [Behind a proxy](behind_a_proxy): what changes if something else terminates TLS, or authenticates users.
//! 18. [Testing your service](testing_your_service): tokens for your own tests.
//! 19. [Deployment](deployment): what the service needs where it runs.
//! 20. [What is recorded](what_is_recorded): the record, its sinks, and what is never in it.
//! 21. [Watch it](watch_it): metrics, alerts and a dashboard.
//! 22. [Is it working? Three signals](three_signals): how a team sees that all of it is at work, and keeps it so in CI.
//! 23. [What is not checked](what_is_not_checked): what a grant does not say.
//! 24. [Limits](limits): every number, and how to change it.
//! 25. [Security](security): the threats, and what the guard does about each.
//!
//! The chapters hold no code of the crate. Their examples run as its tests.

#[doc = include_str!("approve_one_operation.md")]
pub mod approve_one_operation {}

#[doc = include_str!("ask_a_policy_engine.md")]
pub mod ask_a_policy_engine {}

#[doc = include_str!("behind_a_proxy.md")]
pub mod behind_a_proxy {}

#[doc = include_str!("call_the_next_service.md")]
pub mod call_the_next_service {}

#[doc = include_str!("delegation.md")]
pub mod delegation {}

#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[doc = include_str!("grpc_and_streams.md")]
pub mod grpc_and_streams {}

#[doc = include_str!("issuers_and_tenants.md")]
pub mod issuers_and_tenants {}

#[doc = include_str!("jwts_of_your_own.md")]
pub mod jwts_of_your_own {}

#[doc = include_str!("kubernetes_and_b2c.md")]
pub mod kubernetes_and_b2c {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("mcp_servers.md")]
pub mod mcp_servers {}

#[doc = include_str!("my_token_is_refused.md")]
pub mod my_token_is_refused {}

#[doc = include_str!("other_frameworks.md")]
pub mod other_frameworks {}

#[doc = include_str!("plain_functions.md")]
pub mod plain_functions {}

#[doc = include_str!("proof_of_possession.md")]
pub mod proof_of_possession {}

#[doc = include_str!("protect_a_route.md")]
pub mod protect_a_route {}

/// The threats, what the guard does about each, and how to report a vulnerability.
///
#[doc = include_str!("../../SECURITY.md")]
pub mod security {}

#[doc = include_str!("step_up.md")]
pub mod step_up {}

#[doc = include_str!("testing_your_service.md")]
pub mod testing_your_service {}

#[doc = include_str!("three_signals.md")]
pub mod three_signals {}

#[doc = include_str!("vendor_profiles.md")]
pub mod vendor_profiles {}

#[doc = include_str!("watch_it.md")]
pub mod watch_it {}

#[doc = include_str!("what_is_not_checked.md")]
pub mod what_is_not_checked {}

#[doc = include_str!("what_is_recorded.md")]
pub mod what_is_recorded {}
