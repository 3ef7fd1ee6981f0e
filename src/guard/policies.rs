//! The policies of a guard: how they are set, when they are asked, and what becomes of their answers.

use std::borrow::Cow;
use std::sync::Arc;
use std::vec;

use super::Guard;
use super::policy_settings::{Executed, Ruled};
use super::request::{GuardAnswer, StepKind};
use crate::answer::Answer;
use crate::approvals::Transaction;
use crate::denial::{ApprovalTask, Denial};
use crate::evidence::{Evidence, Step};
use crate::policy::{Obligation, ObligationAnswer, Policy, Ruling, Verdict};
use crate::printable::with_causes;
use crate::reason::Reason;
use crate::require::Require;

/// # Policies
impl Guard {
    /// Adds a policy, which decides about every request whose token meets the requirement.
    ///
    /// It is asked by every layer, by [`authorize`](Self::authorize) and by every [`narrow`](Self::narrow), after the
    /// requirement is met and before a token is spent. While the requirement is unmet it is not asked, and a request
    /// that passes without a grant is not its concern. If there are several policies, all must permit. They are asked in
    /// turn until one refuses.
    ///
    /// A closure is a policy; [`policy_fn`](crate::policy::policy_fn) gives it its signature. A
    /// [`Verdict`] says what is answered. A policy that panics, cannot answer, or does not answer within
    /// 2 seconds refuses the request with 503 (`policy_unavailable`), and nothing is spent. The time can be set
    /// and is measured with the feature `remote`, in a Tokio runtime with a timer; elsewhere, a policy keeps its own
    /// time. A panic is caught unless the program is built with `panic = "abort"`.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::policy::{Verdict, policy_fn};
    /// use unconfused::{Audience, Guard, Reason, Scope};
    /// # use unconfused::testing::{TestIssuer, TestToken};
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer).policy(policy_fn(|question| match question.actor() {
    ///     Some(actor) if actor.name().starts_with("trial-") => Verdict::Forbid("trial agents".into()),
    ///     _ => Verdict::Permit,
    /// }));
    /// # let ask = |token: TestToken| {
    /// #     let request = http::Request::get("/orders").header("authorization", token.bearer());
    /// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// #     guard.authorize(&mut head, READ).now().unwrap()
    /// # };
    ///
    /// let token = login.token(&ORDERS).scope("orders:read");
    /// assert!(ask(token.clone().actor("agent-7")).is_ok());
    /// let denial = ask(token.actor("trial-7")).unwrap_err();
    /// assert_eq!(denial.for_operator().to_string(), "policy_denied: trial agents");
    /// # }
    /// ```
    #[must_use]
    pub fn policy(self, policy: impl Policy) -> Self {
        self.with(|inner| inner.policies.policies.push(Arc::new(policy)))
    }

    /// Sets how long a policy, or an obligation, may take. Defaults to 2 seconds.
    ///
    /// It is measured for answers that come [later](Answer::Later), for each policy and each obligation by itself, in a
    /// Tokio runtime that has a timer.
    #[cfg(feature = "remote")]
    #[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
    #[must_use]
    pub fn policy_timeout(self, limit: std::time::Duration) -> Self {
        self.with(|inner| inner.policies.time_limit = limit)
    }

    /// Sets what executes the obligations of this name, which a policy may add to its
    /// [ruling](crate::policy::Ruling).
    ///
    /// The obligations of all rulings that permit are executed before the grant is made, and before a token is spent.
    /// One that fails, panics or takes longer than a policy may refuses the request (`obligation_failed`, 403). One for
    /// which nothing is set refuses it as well (`obligation_unsupported`, 403); the others are executed all the same.
    /// Those of a ruling that refuses are executed before the denial, and change nothing about it. A request that is
    /// refused after them, because its token was spent, has had its obligations executed.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::policy::{Obligation, Verdict, policy_fn};
    /// use unconfused::{Answer, Audience, Guard, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let watched = policy_fn(|_| Verdict::Permit.obliged(Obligation::new("log_access")));
    /// let guard = Guard::new(ORDERS, issuer).policy(watched);
    /// # let ask = |guard: &Guard| {
    /// #     let token = login.token(&ORDERS).scope("orders:read").bearer();
    /// #     let request = http::Request::get("/orders").header("authorization", token);
    /// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// #     guard.authorize(&mut head, READ).now().unwrap()
    /// # };
    /// assert_eq!(ask(&guard).unwrap_err().reason(), Reason::ObligationUnsupported);
    ///
    /// let guard = guard.obligation("log_access", |_, evidence| {
    ///     println!("{} reads", evidence.subject());
    ///     Answer::Now(Ok(()))
    /// });
    /// assert!(ask(&guard).is_ok());
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if something is set for this name already.
    #[must_use]
    pub fn obligation(
        self,
        name: impl Into<String>,
        execute: impl Fn(&Obligation, &Evidence) -> ObligationAnswer + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let is_new = !self.inner.policies.obligations.contains_key(&name);
        assert!(is_new, "the obligation `{name}` has something that executes it already");
        self.with(|inner| drop(inner.policies.obligations.insert(name, Arc::new(execute))))
    }
}

impl Guard {
    /// This guard with a rule of one route. It is not another guard: each trusts the grants of the other.
    pub(super) fn with_rule(&self, rule: Arc<dyn Policy>) -> Self {
        let mut guard = self.clone();
        Arc::make_mut(&mut guard.inner).policies.rules.push(rule);
        guard
    }

    /// True if there is a policy to ask.
    pub(super) fn has_policies(&self) -> bool {
        !self.inner.policies.is_empty()
    }

    /// Asks the policies about a request whose token meets the requirement, then runs all further steps.
    ///
    /// A requirement that is unmet ends the request before any policy is asked, but for one case: the token is that of a
    /// transaction and lacks nothing else. Then it is a policy that may ask for the approval.
    pub(super) fn ask_policies(
        &self,
        evidence: Evidence,
        step_kind: StepKind,
        unmet: Option<Denial>,
    ) -> GuardAnswer {
        match unmet {
            Some(denial) if !self.lacks_only_its_approval(&evidence) => {
                Answer::Now(self.decided(evidence, Err(denial)))
            }
            unmet => self.ask_next(evidence, step_kind, Rulings { unmet, ..Rulings::default() }),
        }
    }

    fn ask_next(
        &self,
        evidence: Evidence,
        step_kind: StepKind,
        mut rulings: Rulings,
    ) -> GuardAnswer {
        let policies = &self.inner.policies;
        while rulings.refusal.is_none()
            && let Some(policy) = policies.asked().nth(rulings.count)
        {
            match policies.ask(&**policy, &evidence) {
                Answer::Now(ruled) => rulings.add(ruled),
                waiting @ Answer::Later(_) => {
                    let guard = self.clone();
                    return Answer::later(async move {
                        rulings.add(waiting.await);
                        guard.ask_next(evidence, step_kind, rulings).await
                    });
                }
            }
        }
        self.conclude(evidence, step_kind, rulings)
    }

    /// Makes one answer of the rulings.
    fn conclude(&self, evidence: Evidence, step_kind: StepKind, rulings: Rulings) -> GuardAnswer {
        let Rulings { policies, requirement, unmet, task, refusal, obligations, .. } = rulings;
        let step_kind = match step_kind {
            StepKind::Narrow { spends } => {
                let spends_too = requirement.as_ref().is_some_and(Require::spends);
                StepKind::Narrow { spends: spends || spends_too }
            }
            layer @ StepKind::Layer { .. } => layer,
        };
        let evidence = match &requirement {
            None if policies.is_empty() => evidence,
            _ => ruled(&evidence, requirement.as_ref(), policies),
        };
        let can_execute =
            |owed: &&Owed| self.inner.policies.obligations.contains_key(owed.obligation.name());
        let unsupported = obligations.iter().find(|owed| !can_execute(owed));
        let is_permitted = || {
            if let Some(owed) = unsupported {
                return Err(of_obligation(Reason::ObligationUnsupported, owed.obligation.name()));
            }
            if let Some(Err(problem)) = requirement.as_ref().map(|it| self.can_check(it)) {
                return Err(Denial::from(Reason::InternalError).with_detail(problem));
            }
            let transaction = self.check_met(&evidence, step_kind)?;
            match task {
                None => Ok(transaction),
                Some(task) => Err(Denial::from(Reason::ApprovalRequired).with_task(task)),
            }
        };
        let refusal = match refusal {
            // It might have asked for the approval.
            Some(denial) if denial.reason() == Reason::PolicyUnavailable => Some(denial),
            // With what a policy requires, all is checked again.
            refusal => unmet.filter(|_| requirement.is_none()).or(refusal),
        };
        let runs_all = refusal.is_none() && unsupported.is_some();
        let answer = match refusal {
            Some(denial) => Err(denial),
            None => is_permitted(),
        };
        let runs = |owed: &Owed| answer.is_ok() || runs_all || owed.also_if_refused;
        let obligations: Vec<_> =
            obligations.into_iter().filter(runs).map(|owed| owed.obligation).collect();
        self.execute_next(evidence, step_kind, obligations.into_iter(), answer)
    }

    /// Executes the obligations, then spends the token if that is required, or refuses the request.
    fn execute_next(
        &self,
        evidence: Evidence,
        step_kind: StepKind,
        mut obligations: vec::IntoIter<Obligation>,
        mut answer: Result<Option<Transaction>, Denial>,
    ) -> GuardAnswer {
        while let Some(obligation) = obligations.next() {
            match self.inner.policies.execute(&obligation, &evidence) {
                // The request is refused for it.
                None => {}
                Some(Answer::Now(executed)) => {
                    answer = answer.and_then(|it| was_executed(&obligation, executed).map(|()| it));
                }
                Some(waiting @ Answer::Later(_)) => {
                    let guard = self.clone();
                    return Answer::later(async move {
                        let executed = waiting.await;
                        let answer =
                            answer.and_then(|it| was_executed(&obligation, executed).map(|()| it));
                        guard.execute_next(evidence, step_kind, obligations, answer).await
                    });
                }
            }
        }
        match answer {
            Ok(transaction) => self.spend_if_required(evidence, step_kind, transaction.as_ref()),
            Err(denial) => Answer::Now(self.decided(evidence, Err(denial))),
        }
    }
}

/// The evidence with what the policies added to it.
fn ruled(evidence: &Evidence, requirement: Option<&Require>, policies: Vec<String>) -> Evidence {
    let all = evidence.requirement().clone();
    let all = match requirement {
        Some(requirement) => all.and(requirement),
        None => all,
    };
    evidence.for_later_step(Step {
        operation: evidence.operation().clone(),
        requirement: all.into(),
        at: evidence.at(),
        head: evidence.head().cloned(),
        policies,
        beginning: evidence.beginning(),
    })
}

/// What the policies said so far.
#[derive(Default)]
struct Rulings {
    /// How many policies answered.
    count: usize,
    /// The ids of those that decided.
    policies: Vec<String>,
    /// What the token must meet as well.
    requirement: Option<Require>,
    /// The token is that of a transaction, and the requirement does not provide for it.
    unmet: Option<Denial>,
    task: Option<ApprovalTask>,
    obligations: Vec<Owed>,
    /// No further policy is asked.
    refusal: Option<Denial>,
}

struct Owed {
    obligation: Obligation,
    /// It belongs to a ruling that may be a refusal.
    also_if_refused: bool,
}

impl Rulings {
    fn add(&mut self, ruled: Ruled) {
        self.count = self.count.saturating_add(1);
        let Ruling { verdict, policies, obligations } = ruled.unwrap_or_else(|unanswered| {
            Verdict::Unavailable(format!("a policy: {unanswered}").into()).into()
        });
        let refuse = |reason: Reason, detail: Cow<'static, str>| {
            Some(Denial::from(reason).with_detail(detail))
        };
        let also_if_refused = !matches!(verdict, Verdict::Permit);
        match verdict {
            Verdict::Permit => {}
            Verdict::PermitIf(requirement) => {
                self.requirement = Some(match self.requirement.take() {
                    Some(earlier) => earlier.and(requirement),
                    None => requirement,
                });
            }
            Verdict::NeedsApproval(task) => self.task = self.task.take().or(Some(task)),
            Verdict::Forbid(rule) => self.refusal = refuse(Reason::PolicyDenied, rule),
            Verdict::Unavailable(why) => self.refusal = refuse(Reason::PolicyUnavailable, why),
        }
        if self.refusal.is_some() {
            // It alone decided.
            self.policies.clear();
            self.obligations.clear();
            self.requirement = None;
        }
        self.policies.extend(policies);
        let owed = |obligation| Owed { obligation, also_if_refused };
        self.obligations.extend(obligations.into_iter().map(owed));
    }
}

/// The denial if an obligation was not executed.
fn was_executed(obligation: &Obligation, executed: Executed) -> Result<(), Denial> {
    let why = match executed {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => with_causes(&*error),
        Err(unanswered) => unanswered.to_string(),
    };
    let detail = format!("{}: {why}", obligation.name());
    Err(of_obligation(Reason::ObligationFailed, &detail))
}

fn of_obligation(reason: Reason, detail: &str) -> Denial {
    Denial::from(reason).with_detail(format!("the obligation {detail}"))
}
