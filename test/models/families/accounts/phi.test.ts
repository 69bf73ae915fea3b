import { againstAccounts } from "./against-accounts.js";

// Above the original length of 8 positions, all texts have the long factors, as texts of these tests have in the account.
againstAccounts("phi", { "Phi-3, long": 128 });
