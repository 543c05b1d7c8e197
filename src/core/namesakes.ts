/**
 * Two processes under one name. Whoever has a name keeps it for as long as it is heard of: else the two would take it from each other
 * again and again, and all that either runs would be lost each time. One that starts where the last one has died is let in at once,
 * as soon as that is known: its supervisor has told, its line has closed, or its beats stay away.
 */
import { beatMs, namesakeMs } from './limits.ts';
import type { FromWorker } from './messages.ts';
import type { State, Worker } from './state.ts';
import type { Turn } from './turn.ts';

/** Its hello is not welcomed: the owner of its name is heard of, or may still be. It says it again until it is. */
export function isTaken(state: State, owner: Worker, hello: Extract<FromWorker, { kind: 'hello' }>, turn: Turn): boolean {
  const { life, host, pid } = hello;
  if ((owner.status !== 'live' && owner.status !== 'draining') || turn.nowMs - owner.lastHeardMs >= namesakeMs) return false;
  // The same process, under another incarnation.
  if (life === undefined || owner.life === undefined || life === owner.life) return false;
  if (owner.rival?.life !== life) owner.rival = { life, sinceMs: turn.nowMs, isTold: false };
  const { rival } = owner;
  // What has just died may have left words on the way.
  if (owner.lastHeardMs - rival.sinceMs < beatMs) return true;
  turn.send(hello.address, { kind: 'nameTaken', term: state.term, host: owner.host, pid: owner.pid });
  if (!rival.isTold) {
    const line = `worker ${owner.name} is process ${owner.pid} on ${owner.host}; another of that name, process ${pid} on ${host}, is not let in`;
    turn.effects.push({ effect: 'warn', line });
  }
  rival.isTold = true;
  return true;
}
