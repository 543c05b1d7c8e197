/** A journal with each election: three coordinators, and everything that happens to them or to the journal's server. */
import { clocksApart, cutOff, cutOffFromElection, restartedInTurn, serverAwayFor, stopped, tenChanges } from '../faults.ts';
import { coordinatorsOver, type ElectionName, type JournalName } from '../journals.suite.ts';

const elections: readonly ElectionName[] = ['etcd', 'postgres', 'redis', 'zookeeper'];
const faults = [stopped, tenChanges, restartedInTurn, cutOff, cutOffFromElection, clocksApart, serverAwayFor(10_000)];

export function withEachElection(journal: JournalName): void {
  for (const election of elections) coordinatorsOver({ journal, election }, faults);
}
