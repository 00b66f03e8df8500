# Comparisons of cluster summaries in base R (lm, glm, t.test) on the trials of tests/inference/cluster_trials.py.
# python cluster_trials.py FOLDER; Rscript cluster_summaries.R FOLDER > cluster_summaries.json
suppressMessages(library(jsonlite))
folder <- commandArgs(trailingOnly = TRUE)[1]
frame <- function(name) {
  d <- read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = FALSE)
  d$arm <- factor(d$arm, levels = intersect(c("usual", "programme", "enhanced"), unique(d$arm)))
  d
}
# one row a cluster; total, size and expected total by base R alone
clusters <- function(d, total, size, expected = NULL, by = NULL) {
  s <- data.frame(cluster = sort(unique(d$cluster)))
  add <- function(v) as.vector(tapply(v, d$cluster, sum)[s$cluster])
  first <- function(v) v[match(s$cluster, d$cluster)]
  s$total <- add(total); s$size <- add(size)
  if (!is.null(expected)) s$expected <- add(expected)
  s$arm <- first(d$arm)
  if (!is.null(by)) s$stratum <- factor(first(d[[by]]))
  s
}
value <- function(s, ratio) {
  if (ratio) {
    e <- ifelse(s$total == 0, 0.5, s$total)
    log(e / (if (is.null(s$expected)) s$size else s$expected))
  } else (if (is.null(s$expected)) s$total else s$total - s$expected) / s$size
}
# t pays for the q covariates that are constant within clusters, s^2 does not
two_way <- function(s, q = 0, w = NULL) {
  m <- if (is.null(s$stratum)) lm(v ~ arm, s) else lm(v ~ arm + stratum, s)
  df <- df.residual(m) - q
  k <- grep("^arm", names(coef(m)))
  se <- sqrt(diag(vcov(m))[k])
  p <- 2 * pt(-abs(coef(m)[k] / se), df)
  reach <- qt(0.975, df) * se
  list(estimate = unname(coef(m)[k]), se = unname(se), df = rep(df, length(k)), p = unname(p),
    low = unname(coef(m)[k] - reach), high = unname(coef(m)[k] + reach))
}
cells <- function(s) {
  m <- lm(v ~ arm + stratum, s); full <- lm(v ~ arm * stratum, s)
  k <- grep("^arm", names(coef(m)))
  se <- sqrt(diag(vcov(m))[k]) * summary(full)$sigma / summary(m)$sigma
  df <- df.residual(full)
  list(estimate = unname(coef(m)[k]), se = unname(se), df = rep(df, length(k)),
    p = unname(2 * pt(-abs(coef(m)[k] / se), df)))
}
of_t_test <- function(t, sign = 1) list(estimate = sign * unname(if (length(t$estimate) == 2) t$estimate[1] - t$estimate[2] else t$estimate),
  se = unname(t$stderr), df = unname(t$parameter), p = t$p.value, low = t$conf.int[1], high = t$conf.int[2])
spread <- function(s, kind, within = NA) {
  s$r <- s$total / s$size
  m <- if (is.null(s$stratum)) lm(r ~ arm, s) else lm(r ~ arm + stratum, s)
  s2 <- summary(m)$sigma^2; df <- df.residual(m); r <- mean(s$r); mH <- 1 / mean(1 / s$size)
  w <- switch(kind, gaussian = within, binomial = r * (1 - r), poisson = r)
  v <- function(x) pmax(x - w / mH, 0)
  ends <- v(c(s2, s2 * df / qchisq(0.975, df), s2 * df / qchisq(0.025, df)))
  switch(kind, gaussian = list(icc = ends / (ends + w)), binomial = list(icc = ends / w, k = sqrt(ends) / r),
    poisson = list(k = sqrt(ends) / r))
}
found <- list()
keep <- function(name, case, result, options) found[[length(found) + 1]] <<- c(list(data = name), case, list(options = options), result)

d <- frame("pairs")
for (ratio in c(FALSE, TRUE)) {
  scale <- if (ratio) "risk_ratio" else "risk_difference"
  s <- clusters(d, d$events, d$people, by = "pair"); s$v <- value(s, ratio)
  s <- s[order(s$pair <- as.integer(s$stratum)), ]
  a <- s$v[s$arm == "programme"]; b <- s$v[s$arm == "usual"]
  case <- list(formula = "events / people ~ arm", family = "binomial")
  keep("pairs", case, of_t_test(t.test(a, b, paired = TRUE)), list(scale = scale, by = "pair"))
  keep("pairs", case, of_t_test(t.test(a, b, var.equal = TRUE)), list(scale = scale))
  keep("pairs", case, of_t_test(t.test(a, b)), list(scale = scale, variance = "welch"))
}
outcomes <- list(gaussian = "score", binomial = "hit", poisson = "count")
scales <- list(gaussian = "mean_difference", binomial = c("risk_difference", "risk_ratio"),
  poisson = c("rate_ratio", "rate_difference"))
for (name in c("two", "three", "few", "rare")) {
  d <- frame(name)
  for (family in names(outcomes)) for (by in if (name %in% c("two", "three")) c(NA, "stratum") else NA) for (right in c("", "x + sex", "x + sex + z")) {
    if (name == "rare" && family != "poisson") next
    y <- d[[outcomes[[family]]]]
    size <- if (family == "poisson") d$exposure else rep(1, nrow(d))
    expected <- NULL
    if (right != "") {
      text <- paste("y ~", right, if (!is.na(by)) "+ factor(stratum)" else "")
      m <- if (family == "gaussian") lm(as.formula(text), d) else if (family == "binomial")
        glm(as.formula(text), binomial, d, control = list(epsilon = 1e-14)) else
        glm(as.formula(paste(text, "+ offset(log(exposure))")), poisson, d, control = list(epsilon = 1e-14))
      expected <- fitted(m)
    }
    s <- clusters(d, y, size, expected, if (!is.na(by)) by)
    formula <- paste0(outcomes[[family]], " ~ arm", if (right != "") " + ", right)
    options <- c(if (!is.na(by)) list(by = by), if (family == "poisson") list(exposure = "exposure"))
    case <- list(formula = formula, family = family)
    for (scale in scales[[family]]) {
      s$v <- value(s, grepl("ratio", scale))
      q <- if (grepl("z", right)) 1 else 0
      keep(name, case, two_way(s, q), c(list(scale = scale), options))
      if (!is.na(by) && q == 0) keep(name, case, cells(s), c(list(scale = scale, variance = "within_cells"), options))
      if (is.na(by) && q == 0 && name != "three")
        keep(name, case, of_t_test(t.test(s$v[s$arm == "programme"], s$v[s$arm == "usual"])),
          c(list(scale = scale, variance = "welch"), options))
    }
    if (right == "") {
      within <- if (family == "gaussian") summary(lm(y ~ factor(d$cluster)))$sigma^2 else NA
      keep(name, c(case, list(spread = TRUE)), spread(s, family, within), options)
      if (name == "three") { s$v <- value(s, FALSE)
        a <- if (is.na(by)) anova(lm(v ~ arm, s)) else anova(lm(v ~ stratum + arm, s))
        keep(name, c(case, list(joint = TRUE)), list(F = a["arm", "F value"], df = a["Residuals", "Df"], p = a["arm", "Pr(>F)"]),
          c(list(scale = rev(scales[[family]])[if (family == "binomial") 2 else 1]), options)) }
    }
  }
}
cat(toJSON(list(source = paste("base R", getRversion(), "(lm, glm, t.test, anova)"),
  command = "Rscript tests/r/cluster_summaries.R FOLDER on the trials of tests/inference/cluster_trials.py", cases = found),
  auto_unbox = TRUE, digits = NA, pretty = FALSE))
