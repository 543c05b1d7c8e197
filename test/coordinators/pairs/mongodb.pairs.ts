import { withEachElection } from './pairs.ts';

withEachElection('mongodb');
