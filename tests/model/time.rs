//! Time passes by ageing rows, and the ticks run.

use darkroom::maintenance;

use super::ops::{self, Aim, Op, Step};
use super::state::How;
use super::world::{Check, World, same};

const SILENT: &str = "UPDATE worker_session SET alive_until = clock_timestamp() - interval '1 s' WHERE id = $1";
const PAST_FINISH: &str = "UPDATE job SET finish_by = clock_timestamp() - interval '1 s' WHERE id = $1";
/// The deadline is the claim's: it passes for all that runs under it.
const PAST_DEADLINE: &str = "UPDATE claim AS c SET deadline_at = clock_timestamp() - interval '1 s' FROM job AS j
     WHERE j.id = $1 AND c.session_id = j.session_id AND c.claim_id = j.claim_id";
const TIME_LEFT: &str = "UPDATE job SET finish_by = clock_timestamp() + interval '1 day' WHERE id = $1";
const TIME_COME: &str = "UPDATE job SET run_at = clock_timestamp() WHERE id = $1 AND NOT due";
const LONG_AWAY: &str = "UPDATE tick SET last_at = clock_timestamp() - interval '10 min' WHERE name = 'rescue'";
const NEVER_AWAY: &str = "UPDATE tick SET last_at = clock_timestamp() WHERE name = 'rescue'";
const OLD: &str = "UPDATE outcome SET finished_at = finished_at - interval '2 days'";
const HELD_LONG: &str = "UPDATE job SET started_at = started_at - interval '2 hours' WHERE id = $1";

impl World<'_> {
    /// Ages what the operation is about and lets the tick see it; answers the row that each slot's newest job is in.
    pub async fn pass_time(&mut self, op: Op, step: Step, aim: Aim) -> Check<Vec<&'static str>> {
        let rows = ops::slots(None).map(|_| aim.row).collect();
        let id = self.id(aim.job);
        match op {
            Op::Silence => {
                self.fall_silent(aim.session).await?;
                return Ok(rows);
            }
            Op::Expire => {
                self.sql(PAST_FINISH, Some(id)).await?;
                maintenance::due_pass(self.ctx()).await.map_err(|e| e.to_string())?;
                self.sql(TIME_LEFT, Some(id)).await?;
                aim.job.into_iter().for_each(|job| self.m.expire(job));
                return Ok(rows);
            }
            Op::ComeDue => {
                self.sql(TIME_COME, Some(id)).await?;
                maintenance::due_pass(self.ctx()).await.map_err(|e| e.to_string())?;
                aim.job.into_iter().for_each(|job| self.m.come_due(job));
                return Ok(rows);
            }
            Op::Die => self.fall_silent(aim.session).await?,
            Op::DieOverdue => {
                self.fall_silent(aim.session).await?;
                self.pass_finish(aim).await?;
            }
            Op::Deadline => {
                self.sql(PAST_DEADLINE, Some(id)).await?;
                aim.job.into_iter().for_each(|job| self.m.pass_deadline(job));
            }
            Op::Outage => {
                if let Some(session) =
                    self.m.sessions.iter().rposition(|s| s.end.is_none()).filter(|_| step.pick.is_multiple_of(2))
                {
                    self.fall_silent(session).await?;
                }
            }
            _ => {}
        }
        self.sql(if op == Op::Outage { LONG_AWAY } else { NEVER_AWAY }, None).await?;
        let rows = ops::slots(None).map(|slot| ops::rescue_row(&self.m, slot, op == Op::Outage)).collect();
        maintenance::rescue(self.ctx()).await.map_err(|e| e.to_string())?;
        self.m.rescue(op == Op::Outage);
        Ok(rows)
    }

    /// Everything that was found out is older than it is kept.
    pub async fn forget(&mut self) -> Check {
        self.sql(OLD, None).await?;
        maintenance::remove_old(self.ctx()).await.map_err(|e| e.to_string())?;
        self.m.forget();
        Ok(())
    }

    /// A worker says nothing for longer than its lease; nobody has noticed yet.
    async fn fall_silent(&mut self, session: usize) -> Check {
        if self.m.sessions[session].end.is_none() {
            self.sql(SILENT, Some(self.m.sessions[session].id)).await?;
            self.m.sessions[session].late = true;
        }
        Ok(())
    }

    /// The time by which the job was to be finished passes.
    pub async fn pass_finish(&mut self, aim: Aim) -> Check {
        let Some(job) = aim.job else { return Ok(()) };
        self.m.jobs[job].overdue = true;
        self.sql(PAST_FINISH, Some(self.m.jobs[job].id)).await
    }

    /// A beat of the holder that lists everything but the job.
    pub async fn beat_without(&mut self, op: Op, aim: Aim) -> Check {
        let Some(job) = aim.job else { return Ok(()) };
        let later = op == Op::BeatWithoutLater;
        if later {
            self.sql(HELD_LONG, Some(self.m.jobs[job].id)).await?;
        }
        let mut held = self.m.held(aim.session);
        held.retain(|&j| j != job);
        let listed = held.iter().map(|&j| (self.m.jobs[j].id, self.m.jobs[j].lease_no)).collect();
        let answer = self.send_beat(self.key(aim.session), aim.session, listed).await;
        same("a beat", (answer.status.as_u16(), &answer.json()["stop"]), (200, &serde_json::json!([])))?;
        self.m.touch(aim.session);
        if later {
            self.m.give_back(job, How::Released, false);
        }
        Ok(())
    }
}
