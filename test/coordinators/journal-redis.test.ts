import { cutOff, restartedInTurn, serverAway, stopped, tenChanges } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

coordinatorsOver({ journal: 'redis', election: 'etcd' }, [stopped, tenChanges, restartedInTurn, cutOff, serverAway]);
