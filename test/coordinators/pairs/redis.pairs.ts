import { withEachElection } from './pairs.ts';

withEachElection('redis');
