import { SEEDS_PER_FILE, testSeeds } from './run-seeds.js';

testSeeds(1 + 0 * SEEDS_PER_FILE, SEEDS_PER_FILE);
