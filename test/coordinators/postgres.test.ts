import { coordinatorsOverElection } from './elections.suite.ts';

coordinatorsOverElection('postgres');
