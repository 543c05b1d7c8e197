import { cutOff, restartedInTurn, stopped, tenChanges } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

coordinatorsOver({ journal: 'postgres', election: 'redis' }, [stopped, tenChanges, restartedInTurn, cutOff]);
