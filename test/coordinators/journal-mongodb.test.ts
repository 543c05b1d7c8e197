import { cutOff, fourChanges, restartedInTurn, serverAwayFor, stopped } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

coordinatorsOver({ journal: 'mongodb', election: 'etcd' }, [stopped, fourChanges, restartedInTurn, cutOff, serverAwayFor(3_000)]);
