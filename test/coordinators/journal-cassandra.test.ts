import { cutOff, restartedInTurn, serverAwayFor, stopped, tenChanges } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

coordinatorsOver({ journal: 'cassandra', election: 'redis' }, [stopped, tenChanges, restartedInTurn, cutOff, serverAwayFor(3_000)]);
