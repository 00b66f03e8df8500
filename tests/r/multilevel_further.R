# Figures of lme4, lmerTest, pbkrtest, clubSandwich and glmmTMB on the trials of tests/multilevel/further_trials.py.
# python further_trials.py FOLDER; Rscript multilevel_further.R FOLDER > multilevel_further.json
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(clubSandwich); library(glmmTMB); library(jsonlite)})
folder <- commandArgs(trailingOnly = TRUE)[1]
frame <- function(name) {
  d <- read.csv(file.path(folder, paste0(name, ".csv")))
  d$arm <- factor(d$arm, levels = c("usual", "programme"))
  d$sex <- factor(d$sex)
  d
}
# tighter than lme4's defaults, which stop at 1e-4 standard errors or so
linear_control <- lmerControl(optimizer = "nloptwrap", check.conv.singular = "ignore", calc.derivs = FALSE,
  optCtrl = list(ftol_abs = 1e-12, xtol_abs = 1e-12, ftol_rel = 1e-15, xtol_rel = 1e-12, maxeval = 1e5))
glmer_control <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5),
  tolPwrss = 1e-13, check.conv.singular = "ignore")
tight <- glmmTMBControl(optimizer = optim, optArgs = list(method = "BFGS"), optCtrl = list(reltol = 1e-15, maxit = 5000))

linear <- list(
  list("a", "y ~ arm + x + sex + (1 | la/school)", TRUE, FALSE, "la"),
  list("a", "y ~ arm * x + sex + (1 | la) + (1 | la:school)", FALSE, FALSE, "la"),
  list("a", "y ~ arm + x + (1 | school) + (1 | rater)", TRUE, FALSE, NA),
  list("a", "y ~ arm + x + (1 | la/school)", TRUE, TRUE, NA),
  list("b", "y ~ arm + x + (1 + x | school)", TRUE, FALSE, "school"),
  list("b", "y ~ arm + x + (1 + x || school) + (1 | la)", TRUE, FALSE, "la"),
  list("b", "y ~ arm + x + sex + (1 + x | la/school)", TRUE, FALSE, "la"),
  list("c", "y ~ arm + x + (1 | la/school)", TRUE, FALSE, "la"),
  list("c", "y ~ arm * sex + x + (1 | school)", TRUE, FALSE, "school"),
  list("d", "y ~ arm + x + (1 | la/school)", TRUE, FALSE, "la"),
  list("d", "y ~ arm + poly(x, 2) + sex + (1 + arm | la)", TRUE, FALSE, "la"),
  list("e", "y ~ arm + x + sex + (1 + x | school) + (1 | la)", FALSE, FALSE, "la"),
  list("e", "y ~ arm + x + sex + (1 + x | school) + (1 | la) + (1 | rater)", TRUE, FALSE, NA))
linear <- lapply(linear, function(each) {
  d <- frame(each[[1]])
  if (each[[4]]) m <- lmerTest::lmer(as.formula(each[[2]]), d, REML = each[[3]], weights = weight, control = linear_control)
  else m <- lmerTest::lmer(as.formula(each[[2]]), d, REML = each[[3]], control = linear_control)
  s <- coef(summary(m))
  found <- list(data = each[[1]], formula = each[[2]], method = if (each[[3]]) "reml" else "ml", weights = each[[4]],
    criterion = if (each[[3]]) lme4::REMLcrit(m) else deviance(m, REML = FALSE), singular = isSingular(m, 1e-5),
    beta = unname(s[, 1]), se = unname(s[, 2]), satterthwaite_df = unname(s[, 3]))
  if (each[[3]] && !each[[4]]) {
    k <- coef(summary(m, ddf = "Kenward-Roger"))
    found$kenward_roger <- list(se = unname(k[, 2]), df = unname(k[, 3]))
  }
  if (!is.na(each[[5]])) {
    found$cluster <- each[[5]]
    for (kind in c("CR0", "CR1", "CR1S", "CR2", "CR3")) {
      table <- coef_test(m, vcov = if (kind == "CR1S") "CR1S" else kind, cluster = d[[each[[5]]]])
      found$cluster_robust[[kind]] <- list(se = table$SE, df = if ("df" %in% names(table)) table$df else table$df_Satt)
    }
  }
  found
})

generalised <- list(
  list("a", "binary ~ arm + x + sex + (1 | la/school)", "binomial", 1),
  list("b", "binary ~ arm + x + (1 + x | school)", "binomial", 1),
  list("c", "binary ~ arm + x + (1 | school)", "binomial", 9),
  list("d", "cbind(successes, trials - successes) ~ arm + x + (1 | la/school)", "binomial", 1),
  list("d", "cbind(successes, trials - successes) ~ arm + x + sex + (1 | la)", "binomial", 15),
  list("a", "binary ~ arm + x + (1 | school) + (1 | rater)", "binomial", 1),
  list("e", "count ~ arm + x + offset(log(exposure)) + (1 | la/school)", "poisson", 1),
  list("a", "count ~ arm + x + offset(log(exposure)) + (1 | school)", "poisson", 9),
  list("e", "dispersed ~ arm + x + offset(log(exposure)) + (1 | la/school)", "nbinom2", 1),
  list("e", "dispersed ~ arm + x + offset(log(exposure)) + (1 | la/school)", "nbinom1", 1),
  list("b", "dispersed ~ arm * x + offset(log(exposure)) + (1 + x | school)", "nbinom2", 1),
  list("a", "count ~ arm + x + offset(log(exposure)) + (1 | school)", "nbinom1", 1))
generalised <- lapply(generalised, function(each) {
  d <- frame(each[[1]])
  laplace <- each[[4]] == 1
  # glmmTMB has exact derivatives, but gives up at a variance of zero; quadrature is glmer's
  exact <- laplace && !(each[[3]] == "binomial" && each[[1]] %in% c("a", "b"))
  if (exact) {
    m <- glmmTMB(as.formula(each[[2]]), d, family = each[[3]], control = tight)
    b <- fixef(m)$cond; v <- vcov(m)$cond; parts <- VarCorr(m)$cond
  } else {
    m <- glmer(as.formula(each[[2]]), d, family = each[[3]], nAGQ = each[[4]], control = glmer_control)
    b <- fixef(m); v <- as.matrix(vcov(m)); parts <- VarCorr(m)
  }
  list(data = each[[1]], formula = each[[2]], family = each[[3]], points = each[[4]], program = if (exact) "glmmTMB" else "glmer",
    beta = unname(b), se = unname(sqrt(diag(v))), variances = I(unname(unlist(lapply(parts, diag)))),
    dispersion = if (grepl("nbinom", each[[3]])) sigma(m) else NA,
    log_likelihood = if (laplace) as.numeric(logLik(m)) else NA)
})
versions <- sapply(c("lme4", "lmerTest", "pbkrtest", "clubSandwich", "glmmTMB"), function(p) as.character(packageVersion(p)))
cat(toJSON(list(
  source = paste0(paste(names(versions), versions, collapse = ", "), " in R ", getRversion()),
  command = "tests/r/multilevel_further.R on the trials of tests/multilevel/further_trials.py",
  linear = linear, generalised = generalised), digits = 15, auto_unbox = TRUE, pretty = 1, null = "null", na = "null"))
