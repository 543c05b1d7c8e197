/** Journal and election in one server: when it is away, nobody leads. */
import { serverAwayFor, stopped } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

for (const name of ['postgres', 'redis'] as const) coordinatorsOver({ journal: name, election: name }, [stopped, serverAwayFor(3_000)]);
