import { cutOff, restartedInTurn, serverAwayFor, stopped, tenChanges } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

coordinatorsOver({ journal: 'mongodb', election: 'etcd' }, [stopped, tenChanges, restartedInTurn, cutOff, serverAwayFor(3_000)]);
