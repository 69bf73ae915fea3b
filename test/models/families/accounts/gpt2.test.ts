import { againstAccounts } from "./against-accounts.js";

againstAccounts("gpt2");
