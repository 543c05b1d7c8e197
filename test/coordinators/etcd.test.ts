import { coordinatorsOverElection } from './elections.suite.ts';

coordinatorsOverElection('etcd');
