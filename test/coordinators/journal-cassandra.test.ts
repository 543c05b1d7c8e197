import { cutOff, fourChanges, restartedInTurn, serverAwayFor, stopped } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

coordinatorsOver({ journal: 'cassandra', election: 'redis' }, [stopped, fourChanges, restartedInTurn, cutOff, serverAwayFor(3_000)]);
