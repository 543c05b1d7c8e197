import { stoppedForThirtySeconds } from './faults.ts';
import { coordinatorsOver } from './journals.suite.ts';

coordinatorsOver({ journal: 'postgres', election: 'zookeeper' }, [stoppedForThirtySeconds]);
