import { withEachElection } from './pairs.ts';

withEachElection('cassandra');
